-- Messages that were claimed and not started, or interrupted by a shutdown, wait again; no retry is counted.
-- Returns the ids whose lease still held. Called by Finisher. Served by queue_pkey.
-- outcomes: JSON array of {message_id, lease_token, delay_ms}; null: as soon as may be.
-- The ids once more as an array: see finish_rescheduled.sql.
with outcome as materialized (
    select * from jsonb_to_recordset(%(outcomes)s::jsonb) as f (
           message_id uuid, lease_token uuid, delay_ms double precision)
)
update dramatiq.queue q
   set state = 'queued',
       mtime = now(),
       process_id = null,
       lease_token = null,
       started_at = null,
       run_at = greatest(q.run_at, now() + f.delay_ms * interval '1 millisecond'),
       -- what was only put off for a moment has no story to tell
       history = case when f.delay_ms > 0 then q.history
                      else pgbroker.with_event(q.history, 'released', null, q.started_at) end
  from outcome f
 where q.message_id = any (array(select message_id from outcome))
   and q.message_id = f.message_id and q.lease_token = f.lease_token
returning q.message_id::text
