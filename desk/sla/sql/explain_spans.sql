-- Each stretch of a ticket's clocks: what ran, cut where the calendar opens and closes, and what stood, with the status that
-- it stood in. Called by desk.sla.explain, in a transaction of the ticket's organization.
-- Served by sla_clocks' and sla_spans' primary keys, calendar_periods' primary key, ticket_events_of_ticket.
with ran as (
    select s.metric, s.cycle, s.started_at as since, s.ended_at as until, s.calendar_version_id
      from sla_spans s where s.ticket_id = %(ticket_id)s
    union all
    select c.metric, c.cycle, c.running_since, greatest(%(now)s, c.running_since), c.calendar_version_id
      from sla_clocks c where c.ticket_id = %(ticket_id)s and c.state = 'running'
), edges as (
    select c.metric, c.cycle, c.started_at as edge from sla_clocks c where c.ticket_id = %(ticket_id)s
    union all
    select r.metric, r.cycle, r.until from ran r
), stood as (
    select e.metric, e.cycle, e.edge as since,
           coalesce((select min(r.since) from ran r where (r.metric, r.cycle) = (e.metric, e.cycle) and r.since >= e.edge),
                    (select coalesce(c.stopped_at, %(now)s) from sla_clocks c
                      where (c.ticket_id, c.metric, c.cycle) = (%(ticket_id)s, e.metric, e.cycle))) as until
      from edges e
), stretches as (
    select r.metric, r.cycle, 'open' as kind, greatest(p.opens_at, r.since) as since, least(p.closes_at, r.until) as until,
           null::text as status
      from ran r
      join calendar_periods p on p.calendar_version_id = r.calendar_version_id
       and p.opens_at < r.until and p.closes_at > r.since
    union all
    select r.metric, r.cycle, 'open', r.since, r.until, null from ran r where r.calendar_version_id is null
    union all
    select r.metric, r.cycle, 'closed', lower(gap), upper(gap), null
      from ran r
     cross join lateral unnest(
            tstzmultirange(tstzrange(r.since, r.until))
            - coalesce((select range_agg(tstzrange(p.opens_at, p.closes_at)) from calendar_periods p
                         where p.calendar_version_id = r.calendar_version_id
                           and p.opens_at < r.until and p.closes_at > r.since), '{}')) as gap
     where r.calendar_version_id is not null
    union all
    select s.metric, s.cycle, 'paused', s.since, s.until,
           (select e.new_value from ticket_events e
             where e.organization_id = current_organization() and e.ticket_id = %(ticket_id)s
               and e.kind = 'status' and e.at <= s.since
             order by e.at desc, e.id desc limit 1)
      from stood s
)
select metric, cycle, kind, since, until, status
  from stretches
 where since < until
 order by metric, cycle, since;
