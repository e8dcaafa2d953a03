-- Take due messages of several queues, each up to its limit, by priority, then by due time. Called by Claims.
-- Served by queue_waiting: one probe per level (queue and priority), so no claim walks past what is due later. The
-- commit makes lease and delivery count durable before any work starts.
-- queues, limits, floors: arrays of the same length; nothing that is due before its floor waits any more, and what was
-- there (dead rows that a held snapshot keeps) is not walked again. level_*: higher floors of single levels.
-- due_seconds: whoever was idle has promised its next beat for much later, and must be missed in time from now on.
with wanted as materialized (
    select w.*
      from unnest(%(queues)s::text[], %(limits)s::integer[], %(floors)s::timestamptz[]) w (queue_name, how_many, floor)
     where not exists (select from pgbroker.queues p where p.queue_name = w.queue_name and p.paused_at is not null)
), level as materialized (
    select l.queue_name, l.priority, w.how_many, coalesce(greatest(w.floor, f.floor), '-infinity') as floor
      from wanted w
      join pgbroker.levels l on l.queue_name = w.queue_name
      left join unnest(%(level_queues)s::text[], %(level_priorities)s::integer[], %(level_floors)s::timestamptz[])
             f (queue_name, priority, floor) on f.queue_name = l.queue_name and f.priority = l.priority
     order by l.queue_name, l.priority
), picked as materialized (
    select m.message_id
      from wanted
     cross join lateral (
            select due.message_id
              from level
             cross join lateral (
                    select q.message_id
                      from dramatiq.queue q
                     where q.state = 'queued' and q.run_key is null
                       and q.queue_name = level.queue_name and q.priority = level.priority
                       and q.run_at >= level.floor and q.run_at <= now()
                     order by q.run_at, q.seq
                     limit wanted.how_many
                       for update skip locked) due
             where level.queue_name = wanted.queue_name
             limit wanted.how_many) m
), awake as (
    update pgbroker.processes p
       set beat_due_at = least(p.beat_due_at, now() + %(due_seconds)s::float8 * interval '1 second')
     where %(due_seconds)s::float8 is not null
       and p.process_id = %(process_id)s::uuid
       and exists (select from picked)
)
update dramatiq.queue q
   set state = 'consumed',
       process_id = %(process_id)s::uuid,
       lease_token = gen_random_uuid(),
       started_at = now(),
       mtime = now(),
       deliveries = q.deliveries + 1,
       unique_key = null
 where q.message_id = any (array(select message_id from picked))
returning q.message_id::text, q.queue_name, q.message::text, q.lease_token::text, q.deliveries, q.retries,
          q.deaths, q.cancel_at is not null,
          coalesce(q.tenant, ''), now(), false, q.priority, q.run_at, q.seq
