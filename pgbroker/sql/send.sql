-- Insert messages, or nothing where the id is known or the unique_key waits already. Returns the ids that are new.
-- Called by PostgresBroker.enqueue and send_many, in the sender's transaction where it enlisted one.
-- Served by queue_pkey and queue_unique_key. rows: JSON array, see pgbroker.encoding.row_of.
insert into dramatiq.queue (message_id, queue_name, state, priority, run_at, unique_key, tenant, message)
select r.message_id, r.queue_name, 'queued', r.priority,
       clock_timestamp() + r.delay_ms * interval '1 millisecond', r.unique_key, r.tenant, r.message
  from jsonb_to_recordset(%(rows)s::jsonb) as r (
       message_id uuid, queue_name text, priority integer, delay_ms double precision,
       unique_key text, tenant text, message jsonb)
on conflict do nothing
returning message_id::text
