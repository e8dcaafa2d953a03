-- How an organization kept its promises, by what the caller names in `by`: clocks that are decided and those that are open.
-- A clock that is late counts as breached at once, an open one in time counts for nothing yet. share_met_with_pauses: what
-- it would be if the time in which clocks stood (the customer's turn) had counted as well, by the same calendars.
-- Called by desk.sla.report, in a transaction of the organization. Reads its clocks once.
with clock as (
    select s.metric, s.state, s.breached,
           case when 'priority' = any (%(by)s) then s.priority end as priority,
           case when 'agent' = any (%(by)s) then t.assignee end as agent,
           case when 'category' = any (%(by)s) then t.category end as category,
           case when 'week' = any (%(by)s) then date_trunc('week', s.started_at at time zone o.timezone)::date end as week,
           business_elapsed(s.calendar_version_id, s.started_at, coalesce(s.stopped_at, happening_at()))
               <= s.target_seconds as met_with_pauses
      from ticket_sla s
      join tickets t on (t.organization_id, t.id) = (s.organization_id, s.ticket_id)
      join organization_settings o on o.organization_id = s.organization_id
     where s.organization_id = %(organization_id)s
       and s.started_at >= coalesce(%(since)s, '-infinity'::timestamptz)
)
select metric, priority, agent, category, week,
       count(*)                                                                as clocks,
       count(*) filter (where state = 'met')                                   as met,
       count(*) filter (where breached)                                        as breached,
       count(*) filter (where not breached and state in ('running', 'paused')) as open,
       round(count(*) filter (where state = 'met')::numeric
             / nullif(count(*) filter (where state = 'met' or breached), 0), 4)::float8 as share_met,
       round(count(*) filter (where (state = 'met' or breached) and met_with_pauses)::numeric
             / nullif(count(*) filter (where state = 'met' or breached), 0), 4)::float8 as share_met_with_pauses
  from clock
 group by metric, priority, agent, category, week
 order by metric, array_position('{urgent,high,medium,low}', priority), week, agent, category;
