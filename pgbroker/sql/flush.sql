-- Drop every message of these queues; one that runs finishes into nothing. Called by PostgresBroker.flush, flush_all.
delete from dramatiq.queue where queue_name = any(%(queues)s::text[]) and state in ('queued', 'consumed')
