-- A step that is wanted and its ticket, both locked, the ticket first as everything that moves clocks does. Called by
-- desk.sla.escalation. Served by the primary keys.
with ticket as materialized (
    select t.id, t.status, t.priority, t.assignee from tickets t where t.id = %(ticket_id)s for no key update
)
select e.outcome, e.reason, s.act, s.value, ticket.status, ticket.priority, ticket.assignee
  from ticket
  join sla_escalations e on e.ticket_id = ticket.id
  join sla_steps s using (policy_version_id, metric, threshold, place)
 where (e.metric, e.cycle, e.threshold, e.place) = (%(metric)s, %(cycle)s, %(threshold)s, %(place)s)
   for no key update of e;
