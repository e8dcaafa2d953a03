-- Messages that are done leave the queue. Returns the ids whose lease still held. Called by Finisher and finish_in.
-- Served by queue_pkey. outcomes: JSON array of {message_id, lease_token}.
with left_queue as (
    delete from dramatiq.queue q
     using jsonb_to_recordset(%(outcomes)s::jsonb) as f (message_id uuid, lease_token uuid)
     where q.message_id = f.message_id and q.lease_token = f.lease_token and q.state = 'consumed'
    returning q.*
)
insert into pgbroker.finished (message_id, queue_name, actor_name, tenant, message, created_at, started_at, process_id,
                               deliveries, retries, history)
select message_id, queue_name, actor_name, tenant, message, created_at, started_at, process_id,
       deliveries, retries, history
  from left_queue
-- a message that somebody sent again under its old id
on conflict (message_id) do update
   set started_at = excluded.started_at, finished_at = excluded.finished_at, process_id = excluded.process_id,
       deliveries = excluded.deliveries, retries = excluded.retries, history = excluded.history
returning message_id::text
