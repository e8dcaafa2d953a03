-- What became of a step, and its audit row. Called by desk.sla.escalation.
with step as (
    update sla_escalations e
       set done_at = now(), outcome = %(outcome)s, reason = %(reason)s
     where (e.ticket_id, e.metric, e.cycle, e.threshold, e.place)
           = (%(ticket_id)s::uuid, %(metric)s, %(cycle)s, %(threshold)s, %(place)s)
    returning e.organization_id, e.ticket_id
)
insert into audit_log (organization_id, who, action, subject_kind, subject_id, detail)
select organization_id, 'escalate', %(action)s, 'ticket', ticket_id::text, %(detail)s from step;
