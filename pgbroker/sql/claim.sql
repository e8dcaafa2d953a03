-- Take due messages of several queues, each up to its limit, by priority, then by due time. Called by Engine.
-- Served by queue_waiting, one probe a queue. The commit makes lease and delivery count durable before any work starts.
-- queues, limits: arrays of the same length; process_id: the claiming process.
with wanted as (
    select * from unnest(%(queues)s::text[], %(limits)s::integer[]) as w (queue_name, how_many)
), picked as materialized (
    select m.message_id
      from wanted
     cross join lateral (
            select q.message_id
              from dramatiq.queue q
             where q.state = 'queued' and q.queue_name = wanted.queue_name and q.run_at <= now()
             order by q.priority, q.run_at, q.seq
             limit wanted.how_many
               for update skip locked) m
)
update dramatiq.queue q
   set state = 'consumed',
       process_id = %(process_id)s::uuid,
       lease_token = gen_random_uuid(),
       started_at = now(),
       mtime = now(),
       deliveries = q.deliveries + 1,
       unique_key = null
  from picked
 where q.message_id = picked.message_id
returning q.message_id::text, q.queue_name, q.message::text, q.lease_token::text, q.deliveries, q.retries,
          q.priority, q.run_at, q.seq
