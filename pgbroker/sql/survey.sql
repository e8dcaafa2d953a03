-- What a process should know of its queues before it waits; see pgbroker.survey. Called by Claims, once a second at the
-- most. Served by queue_waiting and queue_limited.
select * from pgbroker.survey(%(queues)s::text[])
