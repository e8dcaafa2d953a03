-- The running clocks of an organization with the earliest deadlines, as ticket_sla shows them. Called by desk.sla.urgent.
-- Served by sla_clocks_running: it reads as many entries as it returns. Minutes are worked out for those alone.
with pressing as materialized (
    select c.ticket_id, c.metric, c.cycle
      from sla_clocks c
     where c.organization_id = %(organization_id)s and c.state = 'running' and c.due_at is not null
     order by c.due_at
     limit %(limit)s
)
select s.ticket_id::text, t.subject, t.assignee, t.status, s.metric, s.cycle, s.state, s.priority, s.due_at,
       s.time_to_breach_minutes, s.business_minutes_left::float8, s.percent_used::float8, s.sla_risk_score, s.sla_risk_reason
  from pressing p
 cross join lateral (select * from ticket_sla v
                      where (v.ticket_id, v.metric, v.cycle) = (p.ticket_id, p.metric, p.cycle) offset 0) s
  join tickets t on (t.organization_id, t.id) = (s.organization_id, s.ticket_id)
 order by s.due_at, s.ticket_id, s.metric;
