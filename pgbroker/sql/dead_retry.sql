-- Send dead letters again, with a clean count of retries; they keep id and history. Returns their ids. Called by
-- pgbroker.dead_letters. Served by dead_letters_pkey, dead_letters_by_actor. ids null: all, or all of the actor.
with revived as (
    insert into dramatiq.queue (message_id, queue_name, state, priority, tenant, created_at, history, message)
    select message_id, queue_name, 'queued', priority, tenant, created_at,
           pgbroker.with_event(history, 'revived', null, null),
           message #- '{options,retries}' #- '{options,traceback}' #- '{options,requeue_timestamp}'
      from pgbroker.dead_letters
     where (%(ids)s::uuid[] is null or message_id = any (%(ids)s::uuid[]))
       and (%(actor)s::text is null or actor_name = %(actor)s)
     order by created_at
    on conflict do nothing
    returning message_id
)
delete from pgbroker.dead_letters where message_id in (select message_id from revived)
returning message_id::text
