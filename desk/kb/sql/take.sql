-- Take stale articles of one organization and read them, also those again that this run has and that were edited since.
-- The lease is in the row: a run that dies gives them up by itself.
-- Called by desk.kb.store, in a transaction that ends before any work begins. Served by article_index_due.
with mine as (
    select article_id
      from article_index
     where organization_id = %(organization_id)s
       and state = 'pending'
       and taken_by = %(run)s
     order by article_id  -- as an import marks them, or one of the two would be the victim of a deadlock
     limit %(batch)s
       for update  -- waits for who is editing it: to pass it over would be to give up what was embedded of it
), due as (
    select article_id
      from article_index
     where organization_id = %(organization_id)s
       and state = 'pending'
       and next_try_at <= now()
       and taken_by is distinct from %(run)s
     order by next_try_at, article_id
     limit %(batch)s
       for update skip locked
), taken as (
    update article_index as entry
       set taken_by = %(run)s, next_try_at = now() + %(lease)s
      from (select article_id from mine union all select article_id from due) as due
     where entry.organization_id = %(organization_id)s
       and entry.article_id = due.article_id
    returning entry.article_id, entry.fresh_from
)
select article.id, article.revision, article.title, article.body_md, article.language,
       article.status = 'published' and article.deleted_at is null as published, taken.fresh_from
  from taken
  join articles as article on article.organization_id = %(organization_id)s and article.id = taken.article_id
 order by article.id
