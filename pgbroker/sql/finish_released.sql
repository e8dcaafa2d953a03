-- Messages that were claimed and not started, or interrupted by a shutdown, wait again; no retry is counted.
-- Returns the ids whose lease still held. Called by Finisher. Served by queue_pkey.
-- outcomes: JSON array of {message_id, lease_token}.
update dramatiq.queue q
   set state = 'queued',
       mtime = now(),
       process_id = null,
       lease_token = null,
       started_at = null,
       history = pgbroker.with_event(q.history, 'released', null, q.started_at)
  from jsonb_to_recordset(%(outcomes)s::jsonb) as f (message_id uuid, lease_token uuid)
 where q.message_id = f.message_id and q.lease_token = f.lease_token and q.state = 'consumed'
returning q.message_id::text
