-- How an organization kept its promises: per metric and priority, clocks that are decided and those that are open.
-- A clock that is late counts as breached at once, an open one in time counts for nothing yet.
-- Called by desk.sla.report, in a transaction of the organization. Reads its clocks once (tickets' cascade keeps them few).
select metric,
       priority,
       count(*)                                                              as clocks,
       count(*) filter (where state = 'met')                                 as met,
       count(*) filter (where breached)                                      as breached,
       count(*) filter (where not breached and state in ('running', 'paused')) as open,
       round(count(*) filter (where state = 'met')::numeric
             / nullif(count(*) filter (where state = 'met' or breached), 0), 4) as share_met
  from ticket_sla
 where organization_id = %(organization_id)s
   and started_at >= coalesce(%(since)s, '-infinity'::timestamptz)
 group by metric, priority
 order by metric, array_position('{urgent,high,medium,low}', priority);
