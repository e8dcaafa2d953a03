-- The newest steps that crossings asked for. Called by desk.sla.escalation; served by sla_escalations_by_age.
select e.wanted_at, e.ticket_id::text, t.subject, e.metric, e.cycle, e.threshold, s.act, s.value,
       coalesce(e.outcome, 'waiting') as outcome, e.reason, e.done_at
  from sla_escalations e
  join sla_steps s using (policy_version_id, metric, threshold, place)
  join tickets t on (t.organization_id, t.id) = (e.organization_id, e.ticket_id)
 where e.organization_id = %(organization_id)s
 order by e.wanted_at desc, e.ticket_id, e.place
 limit %(limit)s;
