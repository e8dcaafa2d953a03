-- The running resolution clocks that are not late and most likely to breach, as ticket_sla shows them; those without a probability
-- (all, where predictions are switched off) come last, by their deadlines. Called by desk.tickets.risk.forecast; indexes:
-- sla_clocks_running, primary keys of breach_predictions and organization_settings. Minutes are worked out for those alone that are
-- shown.
with likely as materialized (
    select c.ticket_id, c.metric, c.cycle
      from sla_clocks c
      join organization_settings o on o.organization_id = c.organization_id
      left join breach_predictions p on p.organization_id = c.organization_id and p.ticket_id = c.ticket_id and o.predict
     where c.organization_id = %(organization_id)s and c.state = 'running' and c.metric = 'resolution' and c.crossed < 100
       and not coalesce(happening_at() > c.due_at, false)
     order by p.probability desc nulls last, c.due_at, c.ticket_id
     limit %(limit)s
)
select s.ticket_id::text, t.subject, s.priority, t.category, t.assignee, s.due_at, s.time_to_breach_minutes,
       s.business_minutes_left::float8, s.sla_risk_score, s.sla_risk_reason, s.sla_risk_at
  from likely l
 cross join lateral (select * from ticket_sla v
                      where (v.ticket_id, v.metric, v.cycle) = (l.ticket_id, l.metric, l.cycle) offset 0) s
  join tickets t on (t.organization_id, t.id) = (s.organization_id, s.ticket_id)
 order by s.sla_risk_score desc nulls last, s.due_at, s.ticket_id
