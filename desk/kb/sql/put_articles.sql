-- Insert articles or make them say what is given; those that say it already stay untouched, and so does their revision.
-- Called by desk.kb.articles with all rows at once. Served by the unique constraint (organization_id, external_id).
insert into articles as article
       (organization_id, external_id, title, body_md, category, language, visibility, status)
values %s
on conflict (organization_id, external_id) do update
   set title = excluded.title, body_md = excluded.body_md, category = excluded.category, language = excluded.language,
       visibility = excluded.visibility, status = excluded.status, deleted_at = null
 where (article.title, article.body_md, article.category, article.language, article.visibility, article.status)
       is distinct from (excluded.title, excluded.body_md, excluded.category, excluded.language, excluded.visibility,
                         excluded.status)
    or article.deleted_at is not null
returning external_id
