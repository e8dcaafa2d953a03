-- What turns dramatiq-pg's table into a queue: due times, priorities, leases, histories, and a life after the finish.
--
-- dramatiq.queue       messages that wait ('queued') or run ('consumed'); finished ones leave at once
-- pgbroker.finished    messages that are done, until their retention ends
-- pgbroker.dead_letters  messages that failed for good, until somebody retries or discards them
-- pgbroker.processes   worker processes; their beat keeps their leases
-- pgbroker.actors      where an actor's messages go, for senders that are not Python

create schema if not exists pgbroker;

alter table dramatiq.queue
    alter column mtime set default now(),
    alter column state set default 'queued',
    add column actor_name   text generated always as (message ->> 'actor_name') stored,
    add column seq          bigint generated always as identity,
    add column priority     integer not null default 0,
    add column run_at       timestamptz not null default now(),
    add column created_at   timestamptz not null default now(),
    add column tenant       text,
    add column unique_key   text,
    add column process_id   uuid,
    add column lease_token  uuid,
    add column started_at   timestamptz,
    add column deliveries   integer not null default 0,
    add column retries      integer not null default 0,
    add column last_error   text,
    add column history      jsonb not null default '[]';

-- Two hot updates a message: room for them on the page, and vacuum long before the table is half dead rows.
alter table dramatiq.queue set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);

comment on column dramatiq.queue.priority is 'Smaller runs first, as Dramatiq has it.';
comment on column dramatiq.queue.run_at is 'Not before this instant, by the database''s clock.';
comment on column dramatiq.queue.unique_key is 'At most one message that has not started has this key. Null from the claim on.';
comment on column dramatiq.queue.lease_token is 'New at every claim; a finish that does not name it changes nothing.';
comment on column dramatiq.queue.deliveries is 'How often it was claimed, whatever became of it.';
comment on column dramatiq.queue.retries is 'How often it failed and was scheduled again.';
comment on column dramatiq.queue.history is 'What happened: [{"at": …, "event": "retried"|"rescued"|"released", "error": …}, …]';

-- What dramatiq-pg had finished moves out; what it had in work starts again (stop its workers before the upgrade).
create table pgbroker.finished (
    message_id   uuid primary key,
    queue_name   text not null,
    actor_name   text,
    tenant       text,
    message      jsonb not null,
    created_at   timestamptz not null,
    started_at   timestamptz,
    finished_at  timestamptz not null default now(),
    process_id   uuid,
    deliveries   integer not null,
    retries      integer not null,
    history      jsonb not null
);
create index finished_by_age on pgbroker.finished (finished_at);
create index finished_by_tenant on pgbroker.finished (tenant, finished_at);

create table pgbroker.dead_letters (
    message_id   uuid primary key,
    queue_name   text not null,
    actor_name   text,
    tenant       text,
    message      jsonb not null,
    priority     integer not null default 0,
    created_at   timestamptz not null,
    died_at      timestamptz not null default now(),
    process_id   uuid,
    deliveries   integer not null,
    retries      integer not null,
    reason       text not null,
    error        text,
    traceback    text,
    history      jsonb not null
);
create index dead_letters_by_age on pgbroker.dead_letters (died_at);
create index dead_letters_by_actor on pgbroker.dead_letters (actor_name, died_at);
comment on column pgbroker.dead_letters.reason is
    'retries exhausted, thrown, killed its worker, unknown actor, not a message, too old, cancelled or rejected';

insert into pgbroker.finished
select message_id, queue_name, message ->> 'actor_name', null, message, mtime, null, mtime, null, 1, 0, '[]'
  from dramatiq.queue where state = 'done' and message is not null;
insert into pgbroker.dead_letters
select message_id, queue_name, message ->> 'actor_name', null, message, 0, mtime, mtime, null, 1,
       coalesce((message -> 'options' ->> 'retries')::integer, 0), 'rejected', null, message -> 'options' ->> 'traceback', '[]'
  from dramatiq.queue where state = 'rejected' and message is not null;
delete from dramatiq.queue where state in ('done', 'rejected') and result is null;
update dramatiq.queue
   set state = 'queued',
       queue_name = regexp_replace(queue_name, '\.DQ$', ''),
       message = jsonb_set(message #- '{options,eta}', '{queue_name}', to_jsonb(regexp_replace(queue_name, '\.DQ$', ''))),
       run_at = coalesce(to_timestamp((message -> 'options' ->> 'eta')::double precision / 1000), now())
 where state in ('queued', 'consumed') and message is not null;

-- The claim: one queue's waiting messages by priority, then by when they are due.
create index queue_waiting on dramatiq.queue (queue_name, priority, run_at, seq) where state = 'queued';
-- The rescue: what runs, by who holds it.
create index queue_running on dramatiq.queue (process_id) where state = 'consumed';
create unique index queue_unique_key on dramatiq.queue (unique_key) where state = 'queued' and unique_key is not null;

create table pgbroker.processes (
    process_id  uuid primary key,
    host        text not null,
    pid         integer not null,
    queues      text[] not null default '{}',
    started_at  timestamptz not null default now(),
    beat_at     timestamptz not null default now(),
    lease_seconds  real not null default 15,
    backend_pid    integer
);
comment on column pgbroker.processes.lease_seconds is 'A process whose beat is older than this has lost its messages.';
comment on column pgbroker.processes.backend_pid is
    'Of the connection that beats. Gone together with a missed beat it tells a dead process from a stalled one.';
comment on table pgbroker.processes is 'One row per worker process; one beat of it keeps every lease it holds.';

create table pgbroker.actors (
    actor_name   text primary key,
    queue_name   text not null,
    priority     integer not null default 0,
    max_retries  integer,
    seen_at      timestamptz not null default now()
);

create table pgbroker.results (
    message_id  uuid primary key,
    result      bytea not null,
    expires_at  timestamptz not null
);
create index results_by_end on pgbroker.results (expires_at);
comment on table pgbroker.results is 'What actors returned, where Dramatiq''s Results middleware stores it.';

create table pgbroker.slots (
    actor_name  text not null,
    slot_at     timestamptz not null,
    sent_at     timestamptz not null default now(),
    message_id  uuid not null,
    primary key (actor_name, slot_at)
);
comment on table pgbroker.slots is 'One row per tick that was sent: any number of schedulers send each tick once.';

-- A history with one more event; it keeps the newest fifty. began_at: when the attempt that ended so had begun.
create function pgbroker.with_event(history jsonb, event text, error text, began_at timestamptz) returns jsonb
    language sql stable parallel safe
    return jsonb_path_query_array(history, '$[last - 48 to last]')
        || jsonb_strip_nulls(jsonb_build_object('at', now(), 'event', event, 'error', left(error, 500), 'began_at', began_at));

-- Send a message from any client, in the caller's transaction. Returns its id; with a unique_key that already waits, the
-- id of the one that waits. Refuses what Dramatiq could not decode and an actor that nobody ever declared.
create function pgbroker.enqueue(
    actor       text,
    args        jsonb default '[]',
    kwargs      jsonb default '{}',
    queue       text default null,
    delay       interval default '0',
    priority    integer default null,
    unique_key  text default null,
    tenant      text default null
) returns uuid
    language plpgsql set search_path = pg_catalog as $$
declare
    id       uuid := gen_random_uuid();
    known    pgbroker.actors;
    waiting  uuid;
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
    loop
        insert into dramatiq.queue (message_id, queue_name, state, priority, run_at, unique_key, tenant, message)
        values (id, coalesce(enqueue.queue, known.queue_name), 'queued', coalesce(enqueue.priority, known.priority, 0),
                clock_timestamp() + enqueue.delay, enqueue.unique_key, enqueue.tenant,
                jsonb_build_object(
                    'queue_name', coalesce(enqueue.queue, known.queue_name),
                    'actor_name', enqueue.actor,
                    'args', enqueue.args,
                    'kwargs', enqueue.kwargs,
                    'options', jsonb_strip_nulls(jsonb_build_object(
                        'tenant', enqueue.tenant, 'unique_key', enqueue.unique_key)),
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
