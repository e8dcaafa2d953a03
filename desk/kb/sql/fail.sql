-- An article could not be indexed: a pause that grows, and after the last attempt no more: then it gets a message of its own,
-- which tries once more and becomes a dead letter. Nothing happens where its text has changed meanwhile: the run takes it again.
-- Called by desk.kb.store; served by the primary key.
with failed as (
update article_index
   set attempts = attempts + 1,
       state = case when attempts + 1 >= %(most)s then 'dead' else 'pending' end,
       next_try_at = now() + %(first_pause)s * power(3, attempts) * (0.8 + 0.4 * random()),
       last_error = %(error)s,
       taken_by = null
 where organization_id = %(organization_id)s
   and article_id = %(article_id)s
   and taken_by = %(run)s
   and wanted_revision = %(revision)s
returning organization_id, article_id, state, attempts
)
select pgbroker.enqueue('index_dead_article', args => jsonb_build_array(organization_id, article_id), queue => 'kb',
                        unique_key => 'index_dead_article:' || article_id, tenant => organization_id::text)
  from failed
 where state = 'dead' and attempts = %(most)s
