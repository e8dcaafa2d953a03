-- How long the newest closed tickets were open, in seconds of the asking clock's calendar (null: around the clock), pauses
-- taken out where a clock counted them. Imported tickets have no clock: their time runs from created_at to resolved_at; one
-- that names no instants (both equal) or lies before the calendar begins says nothing. Called by desk.tickets.risk_history;
-- indexes: tickets_resolved, primary keys of sla_clocks and calendar_versions.
select t.priority, t.category, open.seconds::double precision
  from (select id, priority, category, accepted_at, resolved_at
          from tickets
         where organization_id = %(organization_id)s and resolved_at is not null and status in ('resolved', 'closed')
           and resolved_at > accepted_at and id <> %(ticket_id)s
         order by resolved_at desc
         limit %(newest)s) t
  left join calendar_versions v
         on v.organization_id = %(organization_id)s and v.id = %(calendar_version_id)s::uuid
  left join lateral (
       select c.used_seconds
         from sla_clocks c
        where c.organization_id = %(organization_id)s and c.ticket_id = t.id and c.metric = 'resolution'
          and c.state = 'stopped'
        order by c.cycle desc
        limit 1) clock on true
 cross join lateral (
       select coalesce(clock.used_seconds,
                       case when v.covered_from is null or v.covered_from <= t.accepted_at
                            then business_elapsed(v.id, t.accepted_at, t.resolved_at) end) as seconds) open
 where open.seconds is not null
