-- Another lease for what a run still has. Called by desk.kb.store; served by the primary key.
-- Locked in the order in which an import marks articles (articles_mark_stale), or one of the two would be the victim of a deadlock.
with renewed as (
    select article_id
      from article_index
     where organization_id = %(organization_id)s
       and taken_by = %(run)s
     order by article_id
       for update
)
update article_index as entry
   set next_try_at = now() + %(lease)s
  from renewed
 where entry.organization_id = %(organization_id)s
   and entry.article_id = renewed.article_id
