-- A queue that nobody could read is refused; messages with a limit that may not run yet keep nobody looking.

-- Whether an actor can be declared with this queue (Dramatiq's rule) and its consumers read it: .DQ and .XQ are Dramatiq's
-- delayed and dead messages, which are no queues here. Null where the name is.
create function pgbroker.is_queue_name(name text) returns boolean
    language sql immutable parallel safe
    return name ~ '^[a-zA-Z_][a-zA-Z0-9._-]*$' and name !~ '\.[DX]Q$';

-- As before, but for the name of the queue.
create or replace function pgbroker.enqueue(
    actor       text,
    args        jsonb default '[]',
    kwargs      jsonb default '{}',
    queue       text default null,
    delay       interval default '0',
    priority    integer default null,
    unique_key  text default null,
    tenant      text default null,
    run_key     text default null
) returns uuid
    language plpgsql set search_path = pg_catalog as $$
declare
    id       uuid := gen_random_uuid();
    known    pgbroker.actors;
    waiting  uuid;
    place    text;
    level    integer;
    gate     text;
begin
    if jsonb_typeof(enqueue.args) is distinct from 'array' then
        raise exception 'args must be a JSON array, not %', coalesce(jsonb_typeof(enqueue.args), 'null');
    end if;
    if jsonb_typeof(enqueue.kwargs) is distinct from 'object' then
        raise exception 'kwargs must be a JSON object, not %', coalesce(jsonb_typeof(enqueue.kwargs), 'null');
    end if;
    if enqueue.actor is null or enqueue.actor = '' then
        raise exception 'actor must be named';
    end if;
    if enqueue.delay is null or enqueue.delay < interval '0' then
        raise exception 'delay must not be negative or null, but it is %', enqueue.delay;
    end if;
    if not pgbroker.is_queue_name(enqueue.queue) then
        raise exception 'queue "%" is read by no worker: its name must be letters, digits, "_", "-" and ".", beginning with '
            'a letter or "_", without .DQ or .XQ at its end', enqueue.queue;
    end if;
    select * into known from pgbroker.actors a where a.actor_name = enqueue.actor;
    if known is null and enqueue.queue is null then
        raise exception 'actor "%" is unknown: no worker has declared it yet', enqueue.actor
            using hint = 'Check its name, start a worker once, or name its queue.';
    end if;
    place := coalesce(enqueue.queue, known.queue_name);
    level := coalesce(enqueue.priority, known.priority, 0);
    gate := coalesce(enqueue.run_key, case when known.run_at_most is not null then enqueue.actor end);
    loop
        insert into dramatiq.queue (message_id, queue_name, state, priority, run_at, unique_key, tenant, run_key,
                                    run_at_most, message)
        values (id, place, 'queued', level,
                clock_timestamp() + enqueue.delay, enqueue.unique_key, enqueue.tenant, gate,
                case when gate is not null then coalesce(known.run_at_most, 1) end,
                jsonb_build_object(
                    'queue_name', place,
                    'actor_name', enqueue.actor,
                    'args', enqueue.args,
                    'kwargs', enqueue.kwargs,
                    'options', jsonb_strip_nulls(jsonb_build_object(
                        'tenant', enqueue.tenant, 'unique_key', enqueue.unique_key, 'run_key', enqueue.run_key)),
                    'message_id', id::text,
                    'message_timestamp', floor(extract(epoch from clock_timestamp()) * 1000)))
        on conflict do nothing;
        if found then
            return id;
        end if;
        -- The share lock keeps claims away until we commit: a run that began before would not see what we write.
        select message_id into waiting from dramatiq.queue q
         where q.unique_key = enqueue.unique_key and q.state = 'queued'
           for share;
        if waiting is not null then
            return waiting;
        end if;
        -- It was claimed between the two statements: what it will not see any more is ours to send.
    end loop;
end $$;

-- As pgbroker.enqueue for each of `args`, with the unique_key and the tenant at the same place of their arrays, where these
-- are given. Returns the ids in no particular order. All of them or, when it raises, none.
create or replace function pgbroker.enqueue_many(
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
    if not pgbroker.is_queue_name(enqueue_many.queue) then
        raise exception 'queue "%" is read by no worker: its name must be letters, digits, "_", "-" and ".", beginning with '
            'a letter or "_", without .DQ or .XQ at its end', enqueue_many.queue;
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

-- Which messages with a run key are due, and when the next one is: one that is due tomorrow must keep nobody looking today,
-- and a thousand of them must not hide one that is due now.
create index queue_limited_due on dramatiq.queue (queue_name, run_at) where state = 'queued' and run_key is not null;

-- Everything that a process should know of its queues before it waits: the time; seconds until the first message without a
-- run key is due (negative: it is; null: none waits); [queue, priority] of levels that no actor declares and nobody noted
-- yet; of the queues in which messages with a run key wait {queue: [whether one is due, seconds until the next one is]}.
-- A queue that is paused has nothing to wait for. Served by queue_waiting and queue_limited_due: two probes per level, two
-- per queue. Takes the place of pgbroker.survey, which workers of the version before still ask.
create function pgbroker.outlook(queues text[])
    returns table (at timestamptz, due_in double precision, levels jsonb, limited jsonb)
    language sql stable parallel safe as $$
with recursive level (queue_name, priority) as (
    select w.queue_name,
           (select min(q.priority) from dramatiq.queue q
             where q.state = 'queued' and q.run_key is null and q.queue_name = w.queue_name)
      from unnest(outlook.queues) w (queue_name)
    union all
    select l.queue_name,
           (select min(q.priority) from dramatiq.queue q
             where q.state = 'queued' and q.run_key is null and q.queue_name = l.queue_name and q.priority > l.priority)
      from level l
     where l.priority is not null
), first as (
    select level.queue_name, level.priority,
           (select min(q.run_at) from dramatiq.queue q
             where q.state = 'queued' and q.run_key is null
               and q.queue_name = level.queue_name and q.priority = level.priority) as run_at
      from level
     where level.priority is not null
)
select now(),
       (select extract(epoch from min(first.run_at) - now())::double precision
          from first
         where not exists (select from pgbroker.queues p
                            where p.queue_name = first.queue_name and p.paused_at is not null)),
       (select coalesce(jsonb_agg(jsonb_build_array(first.queue_name, first.priority)), '[]')
          from first
         where not exists (select from pgbroker.levels l
                            where l.queue_name = first.queue_name and l.priority = first.priority)),
       (select coalesce(jsonb_object_agg(w.queue_name, jsonb_build_array(
                   first.run_at <= now(),
                   (select extract(epoch from min(q.run_at) - now()) from dramatiq.queue q
                     where q.state = 'queued' and q.run_key is not null and q.queue_name = w.queue_name
                       and q.run_at > now()))), '{}')
          from unnest(outlook.queues) w (queue_name)
         cross join lateral (select min(q.run_at) as run_at from dramatiq.queue q
                              where q.state = 'queued' and q.run_key is not null and q.queue_name = w.queue_name) first
         where first.run_at is not null
           and not exists (select from pgbroker.queues p where p.queue_name = w.queue_name and p.paused_at is not null))
$$;
