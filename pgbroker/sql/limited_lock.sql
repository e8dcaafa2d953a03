-- The run keys of a queue that may be due, of those that no other claim is looking at: until the end of this transaction
-- nobody else claims messages with them. Called by Claims, followed by limited_claim.sql, whose snapshot therefore sees every
-- running message with these keys. Half of most_keys are those of the messages that are due longest, so that none is hidden
-- by keys whose messages are due later; half are the next beginning with `after`, as those may all be held up by limits.
-- Returns (key, whether it is ours, whether something is due, seconds until the next message is, where to go on): one row
-- without a key where nothing is due, none where the queue is paused. Served by queue_limited_due and queue_limited: two
-- probes, and one for each key.
with recursive due (is_due, due_in) as materialized (
    select coalesce((select min(q.run_at) from dramatiq.queue q
                      where q.state = 'queued' and q.run_key is not null and q.queue_name = %(queue_name)s) <= now(), false),
           (select extract(epoch from min(q.run_at) - now())::double precision from dramatiq.queue q
             where q.state = 'queued' and q.run_key is not null and q.queue_name = %(queue_name)s and q.run_at > now())
      from (values (1)) one (row)
     where not exists (select from pgbroker.queues p where p.queue_name = %(queue_name)s and p.paused_at is not null)
), waiting (run_key, nth) as (
    select (select q.run_key from dramatiq.queue q
             where q.state = 'queued' and q.run_key is not null and q.queue_name = %(queue_name)s
               and q.run_key >= %(after)s
             order by q.run_key limit 1), 1
      from due
     where due.is_due
    union all
    select (select q.run_key from dramatiq.queue q
             where q.state = 'queued' and q.run_key is not null and q.queue_name = %(queue_name)s
               and q.run_key > waiting.run_key
             order by q.run_key limit 1), nth + 1
      from waiting
     where waiting.run_key is not null and nth < %(most_keys)s / 2
), key as materialized (
    select run_key from waiting where run_key is not null
    union
    select oldest.run_key
      from due
     cross join lateral (
            select q.run_key from dramatiq.queue q
             where q.state = 'queued' and q.run_key is not null and q.queue_name = %(queue_name)s and q.run_at <= now()
             order by q.run_at
             limit %(most_keys)s / 2) oldest
     where due.is_due
)
select key.run_key, pg_try_advisory_xact_lock(hashtextextended('pgbroker run_key ' || key.run_key, 0)),
       due.is_due, due.due_in,
       coalesce((select max(w.run_key) from waiting w having count(w.run_key) = %(most_keys)s / 2), '')
  from due
  left join key on true
