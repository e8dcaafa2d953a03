-- Every queue that anybody knows: what waits, is scheduled and runs there, how long the oldest due message waits (seconds;
-- null: none does), since when it is paused, and how many living worker processes serve it. Called by pgbroker.stats and
-- pgbroker.metrics. Counts in the indexes queue_waiting, queue_limited_due and queue_running alone: where vacuum keeps up, a
-- backlog of a million costs a quarter of a second. The other tables have a few rows.
with depth (queue_name, waiting, scheduled, running, oldest) as (
    select queue_name, count(*) filter (where run_at <= now()), count(*) filter (where run_at > now()), 0::bigint,
           min(run_at) filter (where run_at <= now())
      from dramatiq.queue where state = 'queued' and run_key is null group by 1
    union all
    select queue_name, count(*) filter (where run_at <= now()), count(*) filter (where run_at > now()), 0,
           min(run_at) filter (where run_at <= now())
      from dramatiq.queue where state = 'queued' and run_key is not null group by 1
    union all
    select queue_name, 0, 0, count(*), null from dramatiq.queue where state = 'consumed' group by 1
), served (queue_name, processes) as (
    select s.queue_name, count(*)
      from pgbroker.processes p
     cross join lateral unnest(p.queues) s (queue_name)
     where p.beat_at > now() - p.lease_seconds * interval '1 second'
     group by 1
), known (queue_name) as (
    select queue_name from depth
    union select queue_name from served
    union select queue_name from pgbroker.actors
    union select queue_name from pgbroker.levels
    union select queue_name from pgbroker.queues
)
select k.queue_name as queue,
       coalesce(sum(d.waiting), 0)::bigint as waiting,
       coalesce(sum(d.scheduled), 0)::bigint as scheduled,
       coalesce(sum(d.running), 0)::bigint as running,
       round(extract(epoch from now() - min(d.oldest)), 1)::double precision as oldest_seconds,
       (select p.paused_at from pgbroker.queues p where p.queue_name = k.queue_name) as paused_since,
       coalesce((select s.processes from served s where s.queue_name = k.queue_name), 0) as processes
  from known k
  left join depth d on d.queue_name = k.queue_name
 group by 1
 order by 1
