-- Dead letters by queue and actor. Called by pgbroker.metrics. Reads the table: a few rows, or somebody should look.
select queue_name, coalesce(actor_name, 'none'), count(*) from pgbroker.dead_letters group by 1, 2
