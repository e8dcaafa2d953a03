-- The time, and seconds until the first message of these queues is due: negative where one is, null where none waits.
-- Called by Claims before it claims from queues that were empty. Served by queue_waiting: one probe per level.
-- queues, floors: as in claim.sql.
select now(), extract(epoch from min(first.run_at) - now())::double precision
  from unnest(%(queues)s::text[], %(floors)s::timestamptz[]) w (queue_name, floor)
  join pgbroker.levels l on l.queue_name = w.queue_name
 cross join lateral (
        select q.run_at
          from dramatiq.queue q
         where q.state = 'queued' and q.run_key is null and q.queue_name = l.queue_name and q.priority = l.priority
           and q.run_at >= coalesce(w.floor, '-infinity')
         order by q.run_at
         limit 1) first
 where not exists (select from pgbroker.queues p where p.queue_name = w.queue_name and p.paused_at is not null)
