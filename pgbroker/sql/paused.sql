-- Paused queues, since when. Called by pgbroker.operate. A table of a few rows.
select queue_name, paused_at from pgbroker.queues where paused_at is not null order by queue_name
