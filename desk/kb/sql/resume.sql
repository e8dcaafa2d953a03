-- A message for each organization whose articles are due; where one waits already, its unique key makes this a no-op.
-- Called by desk.kb.indexing.resume, every few minutes: what was lost with a purged queue or a restored backup comes back.
select count(pgbroker.enqueue(
           'index_articles',
           args => jsonb_build_array(due.id),
           queue => 'kb',
           unique_key => 'index_articles:' || due.id,
           tenant => due.id::text))
  from organizations_with_due_articles() as due (id)
