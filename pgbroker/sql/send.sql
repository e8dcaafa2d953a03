-- Insert messages, or nothing where the id is known or the unique_key waits already. Returns (id,
-- whether an idle worker listens) of those that are new.
-- Called by Sender and by Finisher for what hooks sent. Served by queue_pkey and queue_unique_key.
-- rows: JSON array, see pgbroker.encoding.Row.
insert into dramatiq.queue (message_id, queue_name, state, priority, run_at, unique_key, tenant, run_key, run_at_most,
                            message)
select r.message_id, r.queue_name, 'queued', r.priority,
       clock_timestamp() + r.delay_ms * interval '1 millisecond', r.unique_key, r.tenant, r.run_key, r.run_at_most,
       r.message
  from jsonb_to_recordset(%(rows)s::jsonb) as r (
       message_id uuid, queue_name text, priority integer, delay_ms double precision,
       unique_key text, tenant text, run_key text, run_at_most integer, message jsonb)
on conflict do nothing
returning message_id::text,
          exists (select from pgbroker.processes p where p.hears_until > now() and queue.queue_name = any (p.queues))
