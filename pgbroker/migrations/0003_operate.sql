-- What operating a queue takes: pause, cancel, limits per key, turns between tenants, figures that outlive a process.
--
-- pgbroker.queues   queues that were paused
-- pgbroker.levels   which priorities are in use per queue: a claim probes each, never walks from one into the next
-- pgbroker.totals   what processes that are gone had counted

alter table dramatiq.queue
    add column run_key     text,
    add column run_at_most integer check (run_at_most > 0),
    add column cancel_at   timestamptz;

comment on column dramatiq.queue.run_key is 'Of the messages with this key at most run_at_most run at once. Null: no limit.';
comment on column dramatiq.queue.cancel_at is 'When somebody asked that it stop; its worker interrupts it with the next beat.';

-- Messages with a limit have an index of their own: a claim must not walk past thousands that may not run yet.
drop index dramatiq.queue_waiting;
create index queue_waiting on dramatiq.queue (queue_name, priority, run_at, seq) where state = 'queued' and run_key is null;
create index queue_turns on dramatiq.queue (queue_name, priority, (coalesce(tenant, '')), run_at, seq)
    where state = 'queued' and run_key is null;
create index queue_limited on dramatiq.queue (queue_name, run_key, priority, run_at, seq)
    where state = 'queued' and run_key is not null;
create index queue_run_key on dramatiq.queue (run_key) where state = 'consumed' and run_key is not null;

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
    'The priorities in use per queue. A sender adds a new one; a worker''s beat adds what others left out.';
insert into pgbroker.levels
select queue_name, priority from dramatiq.queue where state in ('queued', 'consumed')
union
select queue_name, priority from pgbroker.actors;

alter table pgbroker.actors add column run_at_most integer;

alter table pgbroker.processes
    add column counters     jsonb not null default '{}',
    add column hears_until  timestamptz;
comment on column pgbroker.processes.counters is 'What it counted since it began: {name: number}.';
comment on column pgbroker.processes.hears_until is
    'It has nothing to do and listens to the doorbell: until then a sender should ring.';

create table pgbroker.totals (
    name   text primary key,
    value  double precision not null
);
comment on table pgbroker.totals is 'The counters of processes that are gone, added up.';
