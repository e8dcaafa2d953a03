-- Who sends ticks, and how far each actor's ticks have come.
--
-- pgbroker.schedulers  scheduler processes; their beat shows that they live
-- pgbroker.schedules   one row per periodic actor: the last slot that was sent, the next that is due

create table pgbroker.schedulers (
    scheduler_id  uuid primary key,
    host          text not null,
    pid           integer not null,
    started_at    timestamptz not null,
    beat_at       timestamptz not null default now(),
    actors        text[] not null
);
comment on table pgbroker.schedulers is 'One row per scheduler process; any number of them may run.';
comment on column pgbroker.schedulers.actors is 'Whose ticks it sends.';

create table pgbroker.schedules (
    actor_name    text primary key,
    schedule      text not null,
    zone          text not null,
    last_slot_at  timestamptz,
    due_at        timestamptz
);
comment on table pgbroker.schedules is 'How far each periodic actor''s ticks have come.';
comment on column pgbroker.schedules.last_slot_at is 'No earlier slot is sent any more, unless this one was sent by a clock that was wrong.';
comment on column pgbroker.schedules.due_at is
    'The first slot that nobody has sent; it is late when it has passed. Null: no scheduler has this actor any more.';
