-- Which of these messages arrived, after the connection was lost during their send. Called by Sender. Served by
-- queue_pkey, finished_pkey and dead_letters_pkey.
select message_id::text from dramatiq.queue where message_id = any (%(message_ids)s::uuid[])
union
select message_id::text from pgbroker.finished where message_id = any (%(message_ids)s::uuid[])
union
select message_id::text from pgbroker.dead_letters where message_id = any (%(message_ids)s::uuid[])
