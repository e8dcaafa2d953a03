-- Whether a message arrived, after the connection was lost during its send. Served by the three primary keys.
select exists (select from dramatiq.queue where message_id = %(message_id)s::uuid)
    or exists (select from pgbroker.finished where message_id = %(message_id)s::uuid)
    or exists (select from pgbroker.dead_letters where message_id = %(message_id)s::uuid)
