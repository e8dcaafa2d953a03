-- Throw dead letters away. Returns their ids. Called by pgbroker.dead_letters. Served as dead_retry. ids null: all, or
-- all of the actor.
delete from pgbroker.dead_letters
 where (%(ids)s::uuid[] is null or message_id = any (%(ids)s::uuid[]))
   and (%(actor)s::text is null or actor_name = %(actor)s)
returning message_id::text
