-- A stored result, and why a message is a dead letter, unless it was sent again: always one row. Called by PostgresBackend.
-- Served by results_pkey, dead_letters_pkey and queue_pkey.
select r.result, d.reason, d.error
  from (values (%(message_id)s::uuid)) wanted (message_id)
  left join pgbroker.results r on r.message_id = wanted.message_id and r.expires_at > now()
  left join pgbroker.dead_letters d on d.message_id = wanted.message_id
   and not exists (select from dramatiq.queue q where q.message_id = d.message_id)
