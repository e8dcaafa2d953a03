-- Messages that failed wait for their next attempt. Returns the ids whose lease still held. Called by Finisher.
-- Served by queue_pkey. outcomes: JSON array of {message_id, lease_token, delay_ms, changes, error}.
-- The ids once more as an array: a plan made for an empty table must not read a full one.
with outcome as materialized (
    select * from jsonb_to_recordset(%(outcomes)s::jsonb) as f (
           message_id uuid, lease_token uuid, delay_ms double precision, changes jsonb, error text)
)
update dramatiq.queue q
   set state = 'queued',
       -- one that is to be cancelled comes back at once, to be buried by whoever claims it
       run_at = now() + case when q.cancel_at is null then f.delay_ms else 0 end * interval '1 millisecond',
       mtime = now(),
       process_id = null,
       lease_token = null,
       started_at = null,
       retries = q.retries + 1,
       last_error = f.error,
       message = case when jsonb_typeof(f.changes) = 'object' then q.message || f.changes else f.changes end,
       history = pgbroker.with_event(q.history, 'retried', f.error, q.started_at)
  from outcome f
 where q.message_id = any (array(select message_id from outcome))
   and q.message_id = f.message_id and q.lease_token = f.lease_token
returning q.message_id::text
