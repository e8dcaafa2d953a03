-- One draft per ticket. A trigger (drafts_check_citations) refuses one that cites what is gone, changed or not public. Called
-- by desk.tickets.results.keep_draft; index: primary key.
insert into drafts (organization_id, ticket_id, revision, body, citations, reason, method)
values (%(organization_id)s, %(ticket_id)s, %(revision)s, %(body)s, %(citations)s, %(reason)s, %(method)s)
    on conflict (organization_id, ticket_id) do update
   set (revision, body, citations, reason, method, stale, created_at) =
       (excluded.revision, excluded.body, excluded.citations, excluded.reason, excluded.method, false, now())
