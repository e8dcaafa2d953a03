-- Seconds until the next message of these queues is due; null where none waits. Called by Engine when a claim found
-- none. Served by queue_waiting: one probe per queue and priority in use, however many messages lie in the future.
with recursive level (queue_name, priority) as (
    select w.queue_name,
           (select min(q.priority) from dramatiq.queue q where q.state = 'queued' and q.queue_name = w.queue_name)
      from unnest(%(queues)s::text[]) as w (queue_name)
    union all
    select l.queue_name,
           (select min(q.priority) from dramatiq.queue q
             where q.state = 'queued' and q.queue_name = l.queue_name and q.priority > l.priority)
      from level l
     where l.priority is not null
)
select extract(epoch from min((
           select min(q.run_at) from dramatiq.queue q
            where q.state = 'queued' and q.queue_name = level.queue_name and q.priority = level.priority
       )) - now())::double precision
  from level
