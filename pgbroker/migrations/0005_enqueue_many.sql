-- Sending many messages of one actor from SQL, set-based: a trigger of a statement that wrote thousands of rows.

-- As pgbroker.enqueue for each of `args`, with the unique_key and the tenant at the same place of their arrays, where these
-- are given. Returns the ids in no particular order. All of them or, when it raises, none.
create function pgbroker.enqueue_many(
    actor        text,
    args         jsonb[],
    queue        text default null,
    delay        interval default '0',
    priority     integer default null,
    unique_keys  text[] default null,
    tenants      text[] default null
) returns setof uuid
    language plpgsql set search_path = pg_catalog as $$
declare
    known  pgbroker.actors;
    place  text;
    level  integer;
    gate   text;
    ids    uuid[] := array(select gen_random_uuid() from unnest(enqueue_many.args));
    sent   uuid[];
    now_ms constant numeric := floor(extract(epoch from clock_timestamp()) * 1000);
begin
    if exists (select from unnest(enqueue_many.args) a (list) where jsonb_typeof(a.list) is distinct from 'array') then
        raise exception 'each of args must be a JSON array';
    end if;
    if cardinality(enqueue_many.unique_keys) <> cardinality(enqueue_many.args)
       or cardinality(enqueue_many.tenants) <> cardinality(enqueue_many.args) then
        raise exception 'unique_keys and tenants must be as long as args';
    end if;
    if enqueue_many.actor is null or enqueue_many.actor = '' then
        raise exception 'actor must be named';
    end if;
    if enqueue_many.delay is null or enqueue_many.delay < interval '0' then
        raise exception 'delay must not be negative or null, but it is %', enqueue_many.delay;
    end if;
    select * into known from pgbroker.actors a where a.actor_name = enqueue_many.actor;
    if known is null and enqueue_many.queue is null then
        raise exception 'actor "%" is unknown: no worker has declared it yet', enqueue_many.actor
            using hint = 'Check its name, start a worker once, or name its queue.';
    end if;
    place := coalesce(enqueue_many.queue, known.queue_name);
    level := coalesce(enqueue_many.priority, known.priority, 0);
    gate := case when known.run_at_most is not null then enqueue_many.actor end;
    with inserted as (
        insert into dramatiq.queue (message_id, queue_name, state, priority, run_at, unique_key, tenant, run_key,
                                    run_at_most, message)
        select w.id, place, 'queued', level, clock_timestamp() + enqueue_many.delay, w.unique_key, w.tenant, gate,
               case when gate is not null then coalesce(known.run_at_most, 1) end,
               jsonb_build_object(
                   'queue_name', place,
                   'actor_name', enqueue_many.actor,
                   'args', w.list,
                   'kwargs', '{}'::jsonb,
                   'options', jsonb_strip_nulls(jsonb_build_object('tenant', w.tenant, 'unique_key', w.unique_key)),
                   'message_id', w.id::text,
                   'message_timestamp', now_ms)
          from unnest(ids, enqueue_many.args, enqueue_many.unique_keys, enqueue_many.tenants)
               as w (id, list, unique_key, tenant)
        on conflict do nothing
        returning message_id
    )
    select coalesce(array_agg(message_id), '{}') into sent from inserted;
    return query select unnest(sent);
    if cardinality(sent) < cardinality(ids) then
        -- Their keys wait already, or did a moment ago: what that means is said there.
        return query
        select pgbroker.enqueue(enqueue_many.actor, w.list, queue => place, delay => enqueue_many.delay,
                                priority => level, unique_key => w.unique_key, tenant => w.tenant)
          from unnest(ids, enqueue_many.args, enqueue_many.unique_keys, enqueue_many.tenants)
               as w (id, list, unique_key, tenant)
         where w.id <> all (sent);
    end if;
end $$;
