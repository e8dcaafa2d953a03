-- Everything known about one dead letter. Called by pgbroker.dead_letters. Served by dead_letters_pkey.
select message_id::text as id, queue_name as queue, actor_name as actor, tenant, reason, error, traceback, message,
       history, priority, deliveries, retries, created_at, died_at
  from pgbroker.dead_letters
 where message_id = any (%(ids)s::uuid[])
