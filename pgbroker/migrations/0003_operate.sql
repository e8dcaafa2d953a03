-- What operating a queue takes: pause, cancel, limits per key, turns between tenants, figures that outlive a process.
--
-- pgbroker.queues   queues that were paused
-- pgbroker.levels   which priorities are in use per queue: a claim probes each, never walks from one into the next
-- pgbroker.totals   what processes that are gone had counted

alter table dramatiq.queue
    add column run_key     text,
    add column run_at_most integer check (run_at_most > 0),
    add column cancel_at   timestamptz,
    add column deaths      integer not null default 0;

comment on column dramatiq.queue.run_key is 'Of the messages with this key at most run_at_most run at once. Null: no limit.';
comment on column dramatiq.queue.deaths is 'How many worker processes died while they held it.';
comment on column dramatiq.queue.cancel_at is 'When somebody asked that it stop; its worker interrupts it with the next beat.';

-- Messages with a limit have an index of their own: a claim must not walk past thousands that may not run yet.
drop index dramatiq.queue_waiting;
create index queue_waiting on dramatiq.queue (queue_name, priority, run_at, seq) where state = 'queued' and run_key is null;
create index queue_turns on dramatiq.queue (queue_name, priority, (coalesce(tenant, '') collate "C"), run_at, seq)
    where state = 'queued' and run_key is null;
create index queue_limited on dramatiq.queue (queue_name, run_key, priority, run_at, seq)
    where state = 'queued' and run_key is not null;
create index queue_run_key on dramatiq.queue (run_key) where state = 'consumed' and run_key is not null;
create index queue_cancelled on dramatiq.queue (process_id) where cancel_at is not null;

create table pgbroker.queues (
    queue_name  text primary key,
    paused_at   timestamptz
);
comment on table pgbroker.queues is 'One row per queue that was ever paused; while paused_at is set nobody claims from it.';

create table pgbroker.levels (
    queue_name  text not null,
    priority    integer not null,
    primary key (queue_name, priority)
);
comment on table pgbroker.levels is
    'The priorities in use per queue: those of declared actors, and others within a second of their first use.';
insert into pgbroker.levels
select queue_name, priority from dramatiq.queue where state in ('queued', 'consumed')
union
select queue_name, priority from pgbroker.actors;

alter table pgbroker.actors add column run_at_most integer;

alter table pgbroker.processes
    add column beat_due_at  timestamptz,
    add column counters     jsonb not null default '{}',
    add column hears_until  timestamptz;
comment on column pgbroker.processes.beat_due_at is
    'When it promised to have beaten again. Later than that, and with its connection gone, it is dead.';
comment on column pgbroker.processes.counters is 'What it counted since it began: {name: number}.';
comment on column pgbroker.processes.hears_until is
    'It has nothing to do and listens to the doorbell: until then a sender should ring.';

create table pgbroker.totals (
    name   text primary key,
    value  double precision not null
);
comment on table pgbroker.totals is 'The counters of processes that are gone, added up.';

-- Send a message from any client, in the caller's transaction. Returns its id; with a unique_key that already waits, the
-- id of the one that waits. Refuses what Dramatiq could not decode and an actor that nobody ever declared.
drop function pgbroker.enqueue(text, jsonb, jsonb, text, interval, integer, text, text);
create function pgbroker.enqueue(
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
