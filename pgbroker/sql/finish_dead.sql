-- Messages that failed for good become dead letters. Returns the ids whose lease still held. Called by Finisher.
-- Served by queue_pkey. outcomes: JSON array of {message_id, lease_token, reason, error, traceback, changes}; changes
-- may be null: the message stays as it is.
-- The ids once more as an array: see finish_rescheduled.sql.
with outcome as materialized (
    select * from jsonb_to_recordset(%(outcomes)s::jsonb) as f (
           message_id uuid, lease_token uuid, reason text, error text, traceback text, changes jsonb)
), left_queue as (
    delete from dramatiq.queue q
     using outcome f
     where q.message_id = any (array(select message_id from outcome))
       and q.message_id = f.message_id and q.lease_token = f.lease_token
    returning q.*, f.reason, f.error, f.traceback, f.changes
)
insert into pgbroker.dead_letters (message_id, queue_name, actor_name, tenant, message, priority, created_at,
                                   process_id, deliveries, retries, reason, error, traceback, history)
select message_id, queue_name, actor_name, tenant,
       case when jsonb_typeof(message) = 'object' and jsonb_typeof(changes) = 'object' then message || changes
            else coalesce(changes, message, 'null') end,
       priority, created_at, process_id, deliveries, retries, reason, error, traceback,
       pgbroker.with_event(history, 'failed', error, started_at)
  from left_queue
on conflict (message_id) do update
   set died_at = excluded.died_at, process_id = excluded.process_id, deliveries = excluded.deliveries,
       retries = excluded.retries, reason = excluded.reason, error = excluded.error, traceback = excluded.traceback,
       history = excluded.history, message = excluded.message
returning message_id::text
