-- One draft per ticket, and none that cites an article which is gone, changed or not public. Called by
-- desk.tickets.results.keep_draft, which sees by the count whether it was kept; index: unique (organization_id, id) of articles.
insert into drafts (organization_id, ticket_id, revision, body, citations, reason, method)
select %(organization_id)s, %(ticket_id)s, %(revision)s, %(body)s, %(citations)s, %(reason)s, %(method)s
 where not exists (
       select from jsonb_to_recordset(%(citations)s) cited (article_id uuid, article_revision integer)
        where not exists (
              select from articles a
               where a.organization_id = %(organization_id)s and a.id = cited.article_id
                 and a.revision = cited.article_revision and a.visibility = 'public' and a.status = 'published'
                 and a.deleted_at is null))
    on conflict (organization_id, ticket_id) do update
   set (revision, body, citations, reason, method, stale, created_at) =
       (excluded.revision, excluded.body, excluded.citations, excluded.reason, excluded.method, false, now())
