-- Take due messages with these run keys, of each as many as may still run beside those that run: by priority, then by due
-- time. Called by Claims in the transaction that locked the keys. Served by queue_limited, queue_run_key and, for the first
-- message without a key, queue_waiting.
-- Messages without a key have their part: beside such a one that is due, of the same priority no more than share are
-- taken, of a later one none. floor, level_*: as in claim.sql.
with open as materialized (
    select k.run_key, (select count(*) from dramatiq.queue r where r.state = 'consumed' and r.run_key = k.run_key) as running
      from unnest(%(run_keys)s::text[]) k (run_key)
     where not exists (select from pgbroker.queues p where p.queue_name = %(queue_name)s and p.paused_at is not null)
), free as materialized (
    select min(l.priority) as priority
      from pgbroker.levels l
      left join unnest(%(level_priorities)s::integer[], %(level_floors)s::timestamptz[]) f (priority, floor)
             on f.priority = l.priority
     cross join lateral (
            select q.run_at from dramatiq.queue q
             where q.state = 'queued' and q.run_key is null and q.queue_name = %(queue_name)s and q.priority = l.priority
               and q.run_at >= coalesce(greatest(%(floor)s::timestamptz, f.floor), '-infinity') and q.run_at <= now()
             order by q.run_at limit 1) first
     where l.queue_name = %(queue_name)s
), candidate as materialized (
    select m.*
      from open
     cross join lateral (
            select q.run_at_most from dramatiq.queue q
             where q.state = 'queued' and q.run_key = open.run_key and q.queue_name = %(queue_name)s
             order by q.priority, q.run_at limit 1) first
     cross join lateral (
            select q.message_id, q.priority, q.run_at, q.seq
              from dramatiq.queue q
             where q.state = 'queued' and q.run_key = open.run_key and q.queue_name = %(queue_name)s and q.run_at <= now()
             order by q.priority, q.run_at, q.seq
             limit least(%(how_many)s, greatest(0, coalesce(first.run_at_most, 1) - open.running))
               for update skip locked) m
), picked as materialized (
    select c.message_id
      from (select *, row_number() over (order by priority, run_at, seq) as nth from candidate) c, free
     where c.nth <= %(how_many)s
       and (free.priority is null or c.priority < free.priority
            or (c.priority = free.priority and c.nth <= %(share)s))
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
          coalesce(q.tenant, ''), now(), true, q.priority, q.run_at, q.seq
