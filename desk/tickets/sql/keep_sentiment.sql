-- One sentiment per ticket, of what was said last; that it was escalated once stays. Called by
-- desk.tickets.results.keep_sentiment; index: primary key.
insert into sentiments (organization_id, ticket_id, revision, message_seq, label, score, urgency, reasons, escalated)
values (%(organization_id)s, %(ticket_id)s, %(revision)s, %(message_seq)s, %(label)s, %(score)s, %(urgency)s, %(reasons)s,
        %(escalated)s)
on conflict (organization_id, ticket_id) do update
   set (revision, message_seq, label, score, urgency, reasons, escalated, created_at) =
       (excluded.revision, excluded.message_seq, excluded.label, excluded.score, excluded.urgency, excluded.reasons,
        sentiments.escalated or excluded.escalated, now())
 -- Two runs at once: what was read from the later words stays.
 where (excluded.revision, coalesce(excluded.message_seq, 0)) >= (sentiments.revision, coalesce(sentiments.message_seq, 0))
