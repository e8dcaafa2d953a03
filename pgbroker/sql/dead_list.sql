-- Dead letters, newest first. Called by pgbroker.dead_letters. Served by dead_letters_by_age, dead_letters_by_actor.
select message_id::text as id, died_at, actor_name as actor, queue_name as queue, reason, error, tenant, deliveries,
       retries
  from pgbroker.dead_letters
 where %(actor)s::text is null or actor_name = %(actor)s
 order by died_at desc
 limit %(limit)s
