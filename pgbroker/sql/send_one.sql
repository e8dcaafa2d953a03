-- Insert one message, or nothing where its id is known or its unique_key waits already. Returns one row when it is new:
-- whether an idle worker listens. Called by Sender, in the sender's transaction where it joined one.
-- Served by queue_pkey and queue_unique_key.
insert into dramatiq.queue (message_id, queue_name, state, priority, run_at, unique_key, tenant, run_key, run_at_most,
                            message)
values (%(message_id)s::uuid, %(queue_name)s, 'queued', %(priority)s,
        clock_timestamp() + %(delay_ms)s * interval '1 millisecond', %(unique_key)s, %(tenant)s, %(run_key)s,
        %(run_at_most)s, %(text)s::jsonb)
on conflict do nothing
returning exists (select from pgbroker.processes p where p.hears_until > now() and %(queue_name)s = any (p.queues))
