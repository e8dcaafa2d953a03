-- What waits and runs, by queue and actor, for /metrics (app.web.metrics). Reads the whole of dramatiq.queue, which holds
-- unfinished messages only; where it is large, metrics ask less often. Ages are seconds.
select queue_name,
       coalesce(actor_name, 'none') as actor_name,
       count(*) filter (where state = 'queued' and run_at <= now()) as due,
       count(*) filter (where state = 'queued' and run_at > now()) as delayed,
       count(*) filter (where state = 'consumed') as running,
       coalesce(extract(epoch from now() - min(run_at) filter (where state = 'queued' and run_at <= now())), 0)::float8
           as oldest_due_age_seconds
  from dramatiq.queue
 group by 1, 2
