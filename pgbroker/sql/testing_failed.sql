-- The first message of these queues that failed for good since then. Called by pgbroker.testing. Served by
-- dead_letters_by_age.
select actor_name, reason, error, traceback
  from pgbroker.dead_letters
 where died_at >= %(since)s and queue_name = any (%(queues)s::text[])
 order by died_at
 limit 1
