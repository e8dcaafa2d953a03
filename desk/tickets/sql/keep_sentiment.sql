-- One sentiment per ticket; that it was escalated once stays. Called by desk.tickets.results.keep_sentiment; index: primary key.
insert into sentiments (organization_id, ticket_id, revision, label, score, urgency, reasons, escalated)
values (%(organization_id)s, %(ticket_id)s, %(revision)s, %(label)s, %(score)s, %(urgency)s, %(reasons)s, %(escalated)s)
on conflict (organization_id, ticket_id) do update
   set (revision, label, score, urgency, reasons, escalated, created_at) =
       (excluded.revision, excluded.label, excluded.score, excluded.urgency, excluded.reasons,
        sentiments.escalated or excluded.escalated, now())
