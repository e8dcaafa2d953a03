-- Have every article of an organization indexed anew. Called by desk.kb.indexing; served by the primary key. Locked in
-- the order in which an import marks articles (articles_mark_stale), or one of the two would be the victim of a deadlock.
with every as (
    select article_id
      from article_index
     where organization_id = %(organization_id)s
     order by article_id
       for update
)
update article_index as entry
   set state = 'pending', attempts = 0, next_try_at = now(), last_error = null, wanted_at = now(), taken_by = null,
       fresh_from = now()
  from every
 where entry.organization_id = %(organization_id)s
   and entry.article_id = every.article_id
