-- Send dead letters again, with a clean count of retries, an age that counts from now and the limits that their actors have
-- now; they keep id, key, tenant and history. Returns (id, whether it was sent, its unique_key): one whose key or id is in
-- the queue already stays. Called by pgbroker.dead_letters. Served by dead_letters_pkey, dead_letters_by_actor. ids null:
-- all, or all of the actor.
with letter as materialized (
    select d.*,
           d.message -> 'options' ->> 'unique_key' as unique_key,
           coalesce(nullif(d.message -> 'options' ->> 'run_key', ''), case when a.run_at_most is not null then d.actor_name end)
               as run_key,
           coalesce(a.run_at_most, 1) as run_at_most
      from pgbroker.dead_letters d
      left join pgbroker.actors a on a.actor_name = d.actor_name
     where (%(ids)s::uuid[] is null or d.message_id = any (%(ids)s::uuid[]))
       and (%(actor)s::text is null or d.actor_name = %(actor)s)
     order by d.message_id
       for update of d
), revived as (
    insert into dramatiq.queue (message_id, queue_name, state, priority, tenant, unique_key, run_key, run_at_most,
                                created_at, history, message)
    select message_id, queue_name, 'queued', priority, tenant, unique_key, run_key,
           case when run_key is not null then run_at_most end,
           created_at, pgbroker.with_event(history, 'revived', null, null),
           case when jsonb_typeof(message -> 'options') = 'object'
                then jsonb_set(message #- '{options,retries}' #- '{options,traceback}' #- '{options,requeue_timestamp}',
                               '{message_timestamp}', to_jsonb(floor(extract(epoch from now()) * 1000)))
                else message end
      from letter
     order by created_at
    on conflict do nothing
    returning message_id
), gone as (
    delete from pgbroker.dead_letters where message_id in (select message_id from revived)
)
select message_id::text, message_id in (select message_id from revived), unique_key from letter
