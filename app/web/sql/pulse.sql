-- How the queue does: processes that beat, the last tick, how long the next message in line of each queue has waited, and
-- which queues are paused, whose messages are meant to wait. Messages with a run_key wait for each other and are left out.
-- Called by app.web.health and app.doctor. Every part is served by an index at any depth of the queue: queue_waiting for
-- the head of each declared queue (two probes a priority), slots' primary key for each actor's last tick; the other tables
-- are small. Ages are seconds, by the database's clock.
select
    (select count(*) from pgbroker.processes where beat_at > now() - make_interval(secs => %(beat_lost_seconds)s))
        as processes,
    (select extract(epoch from now() - max(tick.slot_at))::float8
       from pgbroker.actors a
      cross join lateral (select max(slot_at) as slot_at from pgbroker.slots s where s.actor_name = a.actor_name) tick)
        as last_tick_age_seconds,
    (select jsonb_object_agg(declared.queue_name, extract(epoch from now() - head.run_at)::float8)
       from (select distinct queue_name from pgbroker.actors) declared
      cross join lateral (
            with recursive level (priority) as (
                select (select min(q.priority) from dramatiq.queue q
                         where q.state = 'queued' and q.run_key is null and q.queue_name = declared.queue_name)
                union all
                select (select min(q.priority) from dramatiq.queue q
                         where q.state = 'queued' and q.run_key is null and q.queue_name = declared.queue_name
                           and q.priority > level.priority)
                  from level
                 where level.priority is not null
            )
            select due.run_at
              from level
             cross join lateral (
                    select min(q.run_at) as run_at from dramatiq.queue q
                     where q.state = 'queued' and q.run_key is null and q.queue_name = declared.queue_name
                       and q.priority = level.priority and q.run_at <= now()) due
             where due.run_at is not null
             order by level.priority
             limit 1) head
      where declared.queue_name not in (select p.queue_name from pgbroker.queues p where p.paused_at is not null))
        as head_waits_seconds,
    array(select p.queue_name from pgbroker.queues p where p.paused_at is not null order by 1) as paused
