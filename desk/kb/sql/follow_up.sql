-- What is left to do after a run: a message now if something is due, or one at the end of the nearest pause. They have keys
-- of their own, so that neither a fresh edit nor a shorter pause waits behind a pause. What another run has is that run's to
-- finish.
-- Called by desk.kb.store at the end of a run. Served by article_index_due.
select pgbroker.enqueue(
           'index_articles',
           args => jsonb_build_array(%(organization_id)s::uuid),
           queue => 'kb',
           delay => greatest(min(next_try_at) - now(), interval '0'),
           unique_key => 'index_articles:' || %(organization_id)s::uuid
                         || case when min(next_try_at) > now()
                                 then ':' || ceil(extract(epoch from min(next_try_at))) else '' end,
           tenant => %(organization_id)s::uuid::text)
  from article_index
 where organization_id = %(organization_id)s
   and state = 'pending'
   and taken_by is null
having count(*) > 0
