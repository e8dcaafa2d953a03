-- Insert many messages that are due now and have no unique_key. Called by Sender in a transaction of its own; where an id
-- is known already the whole of it fails, and send.sql follows.
copy dramatiq.queue (message_id, queue_name, state, priority, tenant, run_key, run_at_most, message) from stdin
