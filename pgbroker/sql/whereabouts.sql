-- What became of a message that neither waits nor runs. Called by pgbroker.operate for an error. Served by the primary
-- keys.
select 'is finished' from pgbroker.finished where message_id = %(id)s::uuid
union all
select 'is a dead letter' from pgbroker.dead_letters where message_id = %(id)s::uuid
limit 1
