-- Declared queues that no beating worker process serves. Called by app.doctor. Tables of a few rows.
select declared.queue_name
  from (select distinct queue_name from pgbroker.actors) declared
 where not exists (select from pgbroker.processes p
                    where declared.queue_name = any (p.queues)
                      and p.beat_at > now() - make_interval(secs => %(beat_lost_seconds)s))
 order by 1
