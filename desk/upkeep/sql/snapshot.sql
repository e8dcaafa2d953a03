-- One organization's figures for one bucket, as one row. Called by desk.upkeep.snapshot; indexes: tickets_by_status,
-- tickets_resolved, ticket_events_by_age, sla_clocks_stopped.
--
-- What was open, and whose, at the end of the bucket is worked back from the tickets as they are and the changes since:
-- the first change after that instant tells what held before it. So a bucket may be computed at any later time, twice, with
-- the same result. A figure over nothing is null, and so is what was open at an instant whose later changes are not all there any
-- more (clean_events): each ticket's first event is its creation, so a ticket older than the first event has lost some. What
-- happened within the last day is never deleted.
with first_event as (
    select coalesce(min(at), 'infinity') as at from ticket_events where organization_id = %(organization_id)s
), told as (
    select %(bucket_end)s >= %(now)s - interval '1 day' or %(bucket_end)s >= f.at
           or not exists (select from tickets t where t.organization_id = %(organization_id)s and t.created_at < f.at) as all_of_it
      from first_event f
), later as (
    -- Not the creation: a ticket's created_at may have been corrected since to before it.
    select distinct on (ticket_id, kind) ticket_id, kind, old_value
      from ticket_events
     where organization_id = %(organization_id)s and at >= %(bucket_end)s
       and (kind in ('priority', 'assignee') or kind = 'status' and old_value is not null)
     order by ticket_id, kind, at, id
), standing as (
    select case when s.ticket_id is null then t.status else s.old_value end as status,
           case when p.ticket_id is null then t.priority else p.old_value end as priority,
           case when a.ticket_id is null then t.assignee else a.old_value end as assignee
      from tickets t
      left join later s on s.ticket_id = t.id and s.kind = 'status'
      left join later p on p.ticket_id = t.id and p.kind = 'priority'
      left join later a on a.ticket_id = t.id and a.kind = 'assignee'
     where t.organization_id = %(organization_id)s and t.created_at < %(bucket_end)s
       and (select all_of_it from told)
), first_responses as (
    select count(*), percentile_cont(array[0.5, 0.95]) within group (
               order by extract(epoch from first_response_at - created_at)::double precision) as p
      from tickets
     where organization_id = %(organization_id)s
       and first_response_at >= %(bucket_start)s and first_response_at < %(bucket_end)s
), resolutions as (
    select count(*), percentile_cont(array[0.5, 0.95]) within group (
               order by extract(epoch from resolved_at - created_at)::double precision) as p
      from tickets
     where organization_id = %(organization_id)s
       and resolved_at >= %(bucket_start)s and resolved_at < %(bucket_end)s and resolved_at > created_at
), clocks as (
    select metric, count(*) as n, count(*) filter (where outcome = 'met') as met
      from sla_clocks
     where organization_id = %(organization_id)s and stopped_at >= %(bucket_start)s and stopped_at < %(bucket_end)s
     group by 1
)
select (select jsonb_object_agg(status, n) from (select status, count(*) n from standing group by 1) g) as tickets_by_status,
       (select jsonb_object_agg(priority, n)
          from (select priority, count(*) n from standing where status not in ('resolved', 'closed') group by 1) g)
           as open_by_priority,
       (select jsonb_object_agg(status, by_priority)
          from (select status, jsonb_object_agg(priority, n) as by_priority
                  from (select status, priority, count(*) n from standing group by 1, 2) pair group by 1) g)
           as tickets_by_status_and_priority,
       (select count(*) from tickets where organization_id = %(organization_id)s
           and created_at >= %(bucket_start)s and created_at < %(bucket_end)s) as created,
       (select count from first_responses) as first_responses,
       (select p[1] from first_responses) as first_response_seconds_p50,
       (select p[2] from first_responses) as first_response_seconds_p95,
       (select count from resolutions) as resolutions,
       (select p[1] from resolutions) as resolution_seconds_p50,
       (select p[2] from resolutions) as resolution_seconds_p95,
       (select coalesce(sum(n), 0)::bigint from clocks) as sla_clocks_stopped,
       (select sum(met)::double precision / nullif(sum(n), 0) from clocks) as sla_compliance,
       (select jsonb_object_agg(metric, met::double precision / n) from clocks) as sla_compliance_by_metric,
       (select jsonb_object_agg(assignee, n)
          from (select assignee, count(*) n from standing
                 where assignee is not null and status not in ('resolved', 'closed') group by 1) g) as agent_load
