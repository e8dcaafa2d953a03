-- What is there per queue and actor. Called by pgbroker.stats. Reads the queue, finished and dead_letters once each;
-- ages in seconds, of the oldest message that is due and waits.
with counted as (
    select queue_name, actor_name,
           count(*) filter (where state = 'queued' and run_at <= now()) as waiting,
           count(*) filter (where state = 'queued' and run_at > now()) as scheduled,
           count(*) filter (where state = 'consumed') as running,
           min(run_at) filter (where state = 'queued' and run_at <= now()) as oldest,
           0::bigint as finished, sum(retries) as retried, 0::bigint as dead
      from dramatiq.queue where state in ('queued', 'consumed') group by 1, 2
    union all
    select queue_name, actor_name, 0, 0, 0, null, count(*), sum(retries), 0 from pgbroker.finished group by 1, 2
    union all
    select queue_name, actor_name, 0, 0, 0, null, 0, sum(retries), count(*) from pgbroker.dead_letters group by 1, 2
)
select queue_name as queue, actor_name as actor,
       sum(waiting)::bigint as waiting, sum(scheduled)::bigint as scheduled, sum(running)::bigint as running,
       round(extract(epoch from now() - min(oldest)), 1)::double precision as oldest_seconds,
       sum(finished)::bigint as finished, sum(retried)::bigint as retried, sum(dead)::bigint as dead
  from counted
 group by 1, 2
 order by 1, 2
