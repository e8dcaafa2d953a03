-- Declared queues that no beating worker process serves, with how long the next message in line has waited (null: none
-- is due). Called by app.doctor; queue_waiting gives each head at any depth.
select declared.queue_name, extract(epoch from now() - head.run_at)::float8 as head_waits_seconds
  from (select distinct queue_name from pgbroker.actors) declared
  left join lateral (
        select q.run_at from dramatiq.queue q
         where q.queue_name = declared.queue_name and q.state = 'queued' and q.run_at <= now()
         order by q.priority, q.run_at, q.seq
         limit 1) head on true
 where not exists (select from pgbroker.processes p
                    where declared.queue_name = any (p.queues)
                      and p.beat_at > now() - make_interval(secs => %(beat_lost_seconds)s))
 order by 1
