-- Which of these messages arrived, after the connection was lost during their send. Called by Sender. Served by the three
-- primary keys.
select m.message_id::text
  from unnest(%(message_ids)s::uuid[]) m (message_id)
 where exists (select from dramatiq.queue q where q.message_id = m.message_id)
    or exists (select from pgbroker.finished f where f.message_id = m.message_id)
    or exists (select from pgbroker.dead_letters d where d.message_id = m.message_id)
