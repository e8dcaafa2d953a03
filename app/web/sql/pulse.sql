-- How the queue does: processes that beat, the last tick, and how long the next message in line of each queue has waited.
-- Called by app.web.health and app.doctor. Every part is served by an index at any depth of the queue: queue_waiting for
-- the head of each declared queue, slots' primary key for each actor's last tick; processes and actors are small.
-- Ages are seconds, by the database's clock.
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
            select q.run_at from dramatiq.queue q
             where q.queue_name = declared.queue_name and q.state = 'queued' and q.run_at <= now()
             order by q.priority, q.run_at, q.seq
             limit 1) head)
        as head_waits_seconds
