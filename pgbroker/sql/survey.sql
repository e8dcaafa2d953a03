-- What a process should know of its queues before it waits; see pgbroker.outlook. Called by Claims, once a second at the
-- most. Served by queue_waiting and queue_limited_due.
select * from pgbroker.outlook(%(queues)s::text[])
