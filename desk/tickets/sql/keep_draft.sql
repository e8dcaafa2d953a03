-- One draft per ticket, of the latest reading. A trigger (drafts_check_citations) refuses one that cites what is gone, changed or
-- not public. Called by desk.tickets.results.keep_draft, which sees by the count whether it was kept; index: primary key.
insert into drafts (organization_id, ticket_id, revision, read_at, body, citations, reason, method)
values (%(organization_id)s, %(ticket_id)s, %(revision)s, %(read_at)s, %(body)s, %(citations)s, %(reason)s, %(method)s)
    on conflict (organization_id, ticket_id) do update
   set (revision, read_at, body, citations, reason, method, stale, created_at) =
       (excluded.revision, excluded.read_at, excluded.body, excluded.citations, excluded.reason, excluded.method, false, now())
 where drafts.read_at is null or drafts.read_at <= excluded.read_at
