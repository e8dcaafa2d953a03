-- The table of dramatiq-pg 0.12 as it stands, where it is not there already. An existing one is kept with its rows.

create schema if not exists dramatiq;

do $$ begin
    create type dramatiq.state as enum ('queued', 'consumed', 'rejected', 'done');
exception when duplicate_object then null;
end $$;

create table if not exists dramatiq.queue (
    message_id  uuid primary key,
    queue_name  text not null default 'default',
    state       dramatiq.state,
    mtime       timestamptz default now(),
    message     jsonb,
    result      jsonb,
    result_ttl  timestamptz
);
