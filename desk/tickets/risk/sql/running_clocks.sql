-- The next running resolution clocks of an organization that are not late, in the order of their deadlines, after the one
-- whose deadline and ticket are given. Called by desk.tickets.risk.risk_history; index: sla_clocks_running.
with batch as materialized (
    select c.ticket_id, c.cycle, c.due_at
      from sla_clocks c
     where c.organization_id = %(organization_id)s and c.state = 'running' and c.metric = 'resolution'
       and c.due_at >= happening_at() and (c.due_at, c.ticket_id) > (%(after_due_at)s, %(after_ticket_id)s)
     order by c.due_at, c.ticket_id
     limit %(batch)s
)
select b.ticket_id, b.due_at, t.priority, t.category, t.assignee, s.calendar_version_id,
       s.elapsed_seconds::double precision as elapsed_seconds, s.target_seconds::double precision as target_seconds,
       extract(epoch from s.started_at)::double precision as started_at
  from batch b
 cross join lateral (select * from ticket_sla v
                      where (v.ticket_id, v.metric, v.cycle) = (b.ticket_id, 'resolution', b.cycle) offset 0) s
  join tickets t on t.organization_id = %(organization_id)s and t.id = b.ticket_id
 order by b.due_at, b.ticket_id
