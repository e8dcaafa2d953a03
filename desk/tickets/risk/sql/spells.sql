-- The lives of an organization's newest closed and of its open tickets, in spells during which priority, category and
-- assignee stayed the same, in seconds of the asking clock's calendar (null: around the clock), pauses taken out where a
-- clock counted them. Of what began before the oldest of the closed tickets was closed only the time since then is told: of
-- those that were closed earlier nothing is. Imported tickets have no clock: their time runs from accepted_at; one that names
-- no instants (both equal) or lies before the calendar begins says nothing. Where a change fell between pauses, these count
-- as spread evenly. Called by desk.tickets.risk.risk_history; indexes: tickets_resolved, tickets_by_status,
-- ticket_events_of_ticket, primary keys of sla_clocks and calendar_versions.
with closed as materialized (
    select id, resolved_at
      from tickets
     where organization_id = %(organization_id)s and resolved_at is not null and status in ('resolved', 'closed')
       and resolved_at > accepted_at
     order by resolved_at desc
     limit %(newest)s
), told as (
    select case when count(*) = %(newest)s then min(resolved_at) else '-infinity' end as since from closed
), picked as (
    select id, true as closed from closed
    union all
    select o.id, false
      from unnest('{accepted,assigned,in_progress,waiting_customer}'::text[]) as s (status)
     cross join lateral (select id from tickets t
                          where t.organization_id = %(organization_id)s and t.status = s.status
                          order by t.created_at desc limit %(newest_open)s) o
), asking as (
    select v.id, v.calendar_id, v.covered_from
      from (select) one
      left join calendar_versions v
             on v.organization_id = %(organization_id)s and v.id = %(calendar_version_id)s::uuid
), lives as materialized (
    select t.id, p.closed, t.priority, t.category, t.assignee,
           coalesce(c.started_at, t.accepted_at) as started_at,
           case when p.closed then coalesce(c.stopped_at, t.resolved_at) else happening_at() end as ended_at,
           -- A clock is measured by its own version of the same calendar, which covers its start.
           case when c.ticket_id is not null and o.calendar_id is not distinct from a.calendar_id
                then c.calendar_version_id else a.id end as measured_by,
           c.ticket_id is not null and o.calendar_id is not distinct from a.calendar_id
               or a.covered_from is null or a.covered_from <= coalesce(c.started_at, t.accepted_at) as measurable,
           -- The share of open hours in which its clock ran.
           case when c.ticket_id is null then 1
                else coalesce(least((c.used_seconds + case when c.state = 'running'
                                         then business_elapsed(c.calendar_version_id, c.running_since, happening_at())
                                         else 0 end)
                              / nullif(business_elapsed(c.calendar_version_id, c.started_at,
                                                        case when p.closed then c.stopped_at else happening_at() end), 0), 1), 1)
                end as running_share
      from picked p
      join tickets t on t.organization_id = %(organization_id)s and t.id = p.id
     cross join asking a
      left join lateral (
           select * from sla_clocks k
            where k.organization_id = %(organization_id)s and k.ticket_id = t.id and k.metric = 'resolution'
              and (k.state = 'stopped') = p.closed
            order by k.cycle desc limit 1) c on true
      left join calendar_versions o on o.organization_id = %(organization_id)s and o.id = c.calendar_version_id
     where t.accepted_at is not null
), spells as (
    select l.*, b.at as began_at, coalesce(lead(b.at) over life, l.ended_at) as spell_ended_at,
           lead(b.at) over life is null as is_last
      from lives l
     cross join told
     cross join lateral (
           select greatest(l.started_at, told.since) as at
           union
           select e.at from ticket_events e
            where e.organization_id = %(organization_id)s and e.ticket_id = l.id
              and e.kind in ('priority', 'category', 'assignee')
              and e.at > greatest(l.started_at, told.since) and e.at < l.ended_at) b
     where l.measurable and l.ended_at >= greatest(l.started_at, told.since)
    window life as (partition by l.id order by b.at)
)
select case when p.changed then p.old_value else s.priority end,
       case when c.changed then c.old_value else s.category end,
       (s.running_share * business_elapsed(s.measured_by, s.started_at, s.spell_ended_at))::double precision,
       case when a.changed then a.old_value else s.assignee end,
       (s.running_share * business_elapsed(s.measured_by, s.started_at, s.began_at))::double precision,
       s.closed and s.is_last,
       extract(epoch from s.started_at)::double precision,
       extract(epoch from s.began_at)::double precision,
       extract(epoch from s.spell_ended_at)::double precision
  from spells s
  -- The first change after a spell's beginning tells what held in it.
  left join lateral (select true as changed, e.old_value from ticket_events e
                      where e.organization_id = %(organization_id)s and e.ticket_id = s.id and e.kind = 'priority'
                        and e.at > s.began_at order by e.at, e.id limit 1) p on true
  left join lateral (select true as changed, e.old_value from ticket_events e
                      where e.organization_id = %(organization_id)s and e.ticket_id = s.id and e.kind = 'category'
                        and e.at > s.began_at order by e.at, e.id limit 1) c on true
  left join lateral (select true as changed, e.old_value from ticket_events e
                      where e.organization_id = %(organization_id)s and e.ticket_id = s.id and e.kind = 'assignee'
                        and e.at > s.began_at order by e.at, e.id limit 1) a on true
