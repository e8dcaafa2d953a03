-- Give up what a run still has, so that the next one takes it at once. Called by desk.kb.store; served by the primary key.
-- Locked in the order in which an import marks articles (articles_mark_stale), or one of the two would be the victim of a deadlock.
with released as (
    select article_id
      from article_index
     where organization_id = %(organization_id)s
       and taken_by = %(run)s
     order by article_id
       for update
)
update article_index as entry
   set next_try_at = now(), taken_by = null
  from released
 where entry.organization_id = %(organization_id)s
   and entry.article_id = released.article_id
