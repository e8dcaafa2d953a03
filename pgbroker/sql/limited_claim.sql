-- Take due messages with these run keys, of each as many as may still run beside those that run. Called by Claims in the
-- transaction that locked the keys. Served by queue_limited and queue_run_key.
with open as materialized (
    select k.run_key, (select count(*) from dramatiq.queue r where r.state = 'consumed' and r.run_key = k.run_key) as running
      from unnest(%(run_keys)s::text[]) k (run_key)
     where not exists (select from pgbroker.queues p where p.queue_name = %(queue_name)s and p.paused_at is not null)
), picked as materialized (
    select m.message_id
      from open
     cross join lateral (
            select q.run_at_most from dramatiq.queue q
             where q.state = 'queued' and q.run_key = open.run_key and q.queue_name = %(queue_name)s
             order by q.priority, q.run_at limit 1) first
     cross join lateral (
            select q.message_id
              from dramatiq.queue q
             where q.state = 'queued' and q.run_key = open.run_key and q.queue_name = %(queue_name)s and q.run_at <= now()
             order by q.priority, q.run_at, q.seq
             limit greatest(0, first.run_at_most - open.running)
               for update skip locked) m
     limit %(how_many)s
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
          coalesce(q.tenant, ''), now(), q.priority, q.run_at, q.seq
