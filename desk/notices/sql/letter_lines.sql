-- The worst notices of a mail, the worst first. Called by desk.notices.outbox; served by notification_deliveries_of_dispatch.
select n.id, n.kind, n.metric, n.threshold, n.ticket_id::text, coalesce(t.subject, n.detail ->> 'subject') as subject,
       n.detail ->> 'priority' as priority, coalesce((n.detail ->> 'due_at')::timestamptz, c.due_at) as due_at, t.status
  from notification_deliveries d
  join notifications n on n.id = d.notification_id
  left join tickets t on (t.organization_id, t.id) = (n.organization_id, n.ticket_id)
  left join sla_clocks c on (c.ticket_id, c.metric, c.cycle) = (n.ticket_id, n.metric, n.cycle)
 where d.organization_id = %(organization_id)s and d.dispatch_id = %(id)s
 order by array_position(array['sla_breach', 'sla_escalation', 'sla_warning'], n.kind),
          n.threshold desc, due_at nulls last, n.id
 limit %(limit)s;
