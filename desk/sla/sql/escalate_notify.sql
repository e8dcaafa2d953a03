-- One notification for each agent of the group. Called by desk.sla.escalation; the key keeps it to one each.
insert into notifications (organization_id, idempotency_key, kind, recipient, ticket_id, metric, cycle, threshold, detail)
select t.organization_id,
       format('escalation:%%s:%%s:%%s:%%s:%%s:%%s', t.id, %(metric)s, %(cycle)s, %(threshold)s, %(place)s, agent),
       'sla_escalation', agent, t.id, %(metric)s, %(cycle)s, %(threshold)s,
       jsonb_build_object('subject', t.subject, 'priority', t.priority)
  from tickets t, unnest(%(value)s::text[]) agent
 where t.id = %(ticket_id)s
on conflict (organization_id, idempotency_key) do nothing;
