-- Resolution clocks that were started at `since` or later and whose first deadline has passed, each with what its ticket was
-- at the start and whether it was late. Those that stand say nothing. Called by desk.tickets.risk.risk_check; indexes:
-- tickets_by_status, primary key of sla_clocks, ticket_events_of_ticket.
select coalesce(p.old_value, t.priority), case when c.changed then c.old_value else t.category end,
       0::double precision, k.target_seconds::double precision,
       case when a.changed then a.old_value else t.assignee end,
       extract(epoch from k.started_at)::double precision,
       k.outcome is not distinct from 'breached' or k.crossed = 100 or coalesce(k.due_at < happening_at(), false)
  from tickets t
  join sla_clocks k on k.organization_id = t.organization_id and k.ticket_id = t.id and k.metric = 'resolution'
  left join lateral (select e.old_value from ticket_events e
                      where e.organization_id = %(organization_id)s and e.ticket_id = t.id and e.kind = 'priority'
                        and e.at > k.started_at order by e.at, e.id limit 1) p on true
  left join lateral (select true as changed, e.old_value from ticket_events e
                      where e.organization_id = %(organization_id)s and e.ticket_id = t.id and e.kind = 'category'
                        and e.at > k.started_at order by e.at, e.id limit 1) c on true
  left join lateral (select true as changed, e.old_value from ticket_events e
                      where e.organization_id = %(organization_id)s and e.ticket_id = t.id and e.kind = 'assignee'
                        and e.at > k.started_at order by e.at, e.id limit 1) a on true
 where t.organization_id = %(organization_id)s and k.state <> 'paused'
   and k.calendar_version_id is not distinct from %(calendar_version_id)s::uuid
   and k.started_at >= to_timestamp(%(since)s)
   and business_add(k.calendar_version_id, k.started_at, k.target_seconds) < happening_at()
