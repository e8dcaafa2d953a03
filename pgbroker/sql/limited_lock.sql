-- Run keys of a queue that wait, beginning with `after`, of those that no other claim is looking at: until the end of
-- this transaction nobody else claims messages with them. Called by Claims, followed by limited_claim.sql, whose
-- snapshot therefore sees every running message with these keys. Returns (key, whether it is ours, seconds until its first
-- message is due); none of a queue that is paused. Served by queue_limited: two probes per key.
with recursive waiting (run_key, nth) as (
    select (select q.run_key from dramatiq.queue q
             where q.state = 'queued' and q.run_key is not null and q.queue_name = %(queue_name)s
               and q.run_key >= %(after)s
               and not exists (select from pgbroker.queues p where p.queue_name = %(queue_name)s and p.paused_at is not null)
             order by q.run_key limit 1), 1
    union all
    select (select q.run_key from dramatiq.queue q
             where q.state = 'queued' and q.run_key is not null and q.queue_name = %(queue_name)s
               and q.run_key > waiting.run_key
             order by q.run_key limit 1), nth + 1
      from waiting
     where waiting.run_key is not null and nth < %(most_keys)s
), key as materialized (
    select run_key from waiting where run_key is not null
)
select run_key, pg_try_advisory_xact_lock(hashtextextended('pgbroker run_key ' || run_key, 0)),
       (select extract(epoch from q.run_at - now())::double precision from dramatiq.queue q
         where q.state = 'queued' and q.run_key = key.run_key and q.queue_name = %(queue_name)s
         order by q.priority, q.run_at limit 1)
  from key
