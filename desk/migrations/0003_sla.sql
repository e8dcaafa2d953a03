-- SLA: calendars and policies in immutable versions, clocks, what they crossed, whom it was told.
--
-- calendars ← calendar_versions ← calendar_periods      when the desk is open, worked out in UTC
-- sla_policies ← sla_policy_versions ← sla_targets      which promise holds for which ticket
-- sla_clocks ← sla_spans, sla_crossings ← notifications one clock per ticket, metric and cycle

create function refuse_change() returns trigger
    language plpgsql as $$
begin
    raise exception 'A published row of % is never changed. Publish another version.', tg_table_name;
end $$;

create table calendars (
    id               uuid primary key default gen_random_uuid(),
    organization_id  uuid not null references organizations on delete cascade,
    name             text not null check (name <> ''),
    unique (organization_id, name),
    unique (organization_id, id)
);
call isolate_by_organization('calendars');

create table calendar_versions (
    id               uuid primary key default gen_random_uuid(),
    organization_id  uuid not null,
    calendar_id      uuid not null,
    version          integer not null,
    definition       jsonb not null,
    covered_from     timestamptz not null,
    covered_to       timestamptz not null,
    published_at     timestamptz not null default now(),
    unique (calendar_id, version),
    unique (organization_id, id),
    foreign key (organization_id, calendar_id) references calendars (organization_id, id) on delete cascade
);
call isolate_by_organization('calendar_versions');
comment on column calendar_versions.definition is 'As desk.sla.Calendar.from_dict takes it.';
comment on column calendar_versions.covered_to is
    'Open periods are worked out until here; a nightly job moves it on. Time before covered_from counts as closed.';
create trigger calendar_versions_immutable
    before update of id, organization_id, calendar_id, version, definition, covered_from, published_at on calendar_versions
    for each row execute function refuse_change();

create table calendar_periods (
    calendar_version_id  uuid not null,
    opens_at             timestamptz not null,
    closes_at            timestamptz not null,
    open_seconds_before  bigint not null,
    organization_id      uuid not null,
    primary key (calendar_version_id, opens_at) include (closes_at, open_seconds_before),
    check (opens_at < closes_at),
    foreign key (organization_id, calendar_version_id) references calendar_versions (organization_id, id) on delete cascade
);
create index calendar_periods_by_seconds on calendar_periods (calendar_version_id, open_seconds_before);
call isolate_by_organization('calendar_periods');
comment on column calendar_periods.open_seconds_before is
    'Open seconds from covered_from until this opening: business time between two instants is a difference of two of these.';
create trigger calendar_periods_immutable before update on calendar_periods
    for each row execute function refuse_change();

create table sla_policies (
    id               uuid primary key default gen_random_uuid(),
    organization_id  uuid not null references organizations on delete cascade,
    name             text not null check (name <> ''),
    retired_at       timestamptz,
    unique (organization_id, name),
    unique (organization_id, id)
);
call isolate_by_organization('sla_policies');
comment on column sla_policies.retired_at is 'From then on it matches no ticket; clocks that run on it run on.';

create table sla_policy_versions (
    id               uuid primary key default gen_random_uuid(),
    organization_id  uuid not null,
    policy_id        uuid not null,
    version          integer not null,
    position         integer not null,
    is_default       boolean not null,
    conditions       jsonb not null default '{}' check (jsonb_typeof(conditions) = 'object'),
    calendar_id      uuid,
    definition       jsonb not null,
    published_at     timestamptz not null default now(),
    unique (policy_id, version),
    unique (organization_id, id),
    foreign key (organization_id, policy_id) references sla_policies (organization_id, id) on delete cascade,
    -- Deferred, here and below: in use it cannot be deleted, but with all of its organization it can.
    foreign key (organization_id, calendar_id) references calendars (organization_id, id)
        deferrable initially deferred
);
call isolate_by_organization('sla_policy_versions');
comment on column sla_policy_versions.position is 'Smaller is asked first; the first that matches wins; defaults come last.';
comment on column sla_policy_versions.conditions is
    'Field of the ticket to a value or a list of values; all must hold. Without any, and with blank values, it matches nothing.';
comment on column sla_policy_versions.calendar_id is 'Null: 24×7. A clock takes the calendar''s newest version when it starts.';
create trigger sla_policy_versions_immutable before update on sla_policy_versions
    for each row execute function refuse_change();

create table sla_targets (
    organization_id    uuid not null,
    policy_version_id  uuid not null,
    metric             text not null check (metric in ('first_response', 'next_response', 'resolution')),
    priority           text not null check (priority in ('low', 'medium', 'high', 'urgent')),
    target_seconds     bigint not null check (target_seconds > 0),
    thresholds         integer[] not null default '{75,90}' check (1 <= all (thresholds) and 100 > all (thresholds)),
    primary key (policy_version_id, metric, priority),
    foreign key (organization_id, policy_version_id)
        references sla_policy_versions (organization_id, id) on delete cascade
);
call isolate_by_organization('sla_targets');
comment on column sla_targets.thresholds is 'Percent of the target at which to warn. The breach, 100, is always told.';
create trigger sla_targets_immutable before update on sla_targets
    for each row execute function refuse_change();

-- Narrow and apart from the ticket: a sweep rewrites clocks, never tickets.
create table sla_clocks (
    organization_id      uuid not null,
    ticket_id            uuid not null,
    metric               text not null check (metric in ('first_response', 'next_response', 'resolution')),
    cycle                integer not null default 1,
    state                text not null check (state in ('running', 'paused', 'stopped')),
    policy_version_id    uuid not null,
    calendar_version_id  uuid,
    reason               text not null,
    priority             text not null,
    target_seconds       bigint not null check (target_seconds > 0),
    thresholds           integer[] not null,
    targeted_at          timestamptz not null,
    started_at           timestamptz not null,
    running_since        timestamptz,
    used_seconds         numeric(16, 6) not null default 0,
    crossed              integer not null default 0,
    due_at               timestamptz,
    next_threshold       integer,
    next_event_at        timestamptz,
    stopped_at           timestamptz,
    outcome              text check (outcome in ('met', 'breached')),
    primary key (ticket_id, metric, cycle),
    check ((running_since is not null) = (state = 'running')),
    check ((stopped_at is not null) = (state = 'stopped') and (outcome is not null) = (state = 'stopped')),
    foreign key (organization_id, ticket_id) references tickets (organization_id, id) on delete cascade,
    foreign key (organization_id, policy_version_id) references sla_policy_versions (organization_id, id)
        deferrable initially deferred,
    foreign key (organization_id, calendar_version_id) references calendar_versions (organization_id, id)
        deferrable initially deferred
) with (fillfactor = 80);
-- The sweep: running clocks with something ahead. Paused, stopped and fully told ones are not in it.
create index sla_clocks_next_event on sla_clocks (organization_id, next_event_at) where next_event_at is not null;
-- What is most urgent, and how many run.
create index sla_clocks_running on sla_clocks (organization_id, due_at) where state = 'running';
create index sla_clocks_paused on sla_clocks (organization_id) where state = 'paused';
create index sla_clocks_by_calendar on sla_clocks (calendar_version_id) where state <> 'stopped';
call isolate_by_organization('sla_clocks');
comment on column sla_clocks.calendar_version_id is 'Null: 24×7.';
comment on column sla_clocks.reason is 'Why this policy holds for this ticket.';
comment on column sla_clocks.targeted_at is 'Since when this target holds: the start, or a change of priority or policy.';
comment on column sla_clocks.used_seconds is 'Business seconds of finished spans; what runs since running_since comes on top.';
comment on column sla_clocks.crossed is 'The highest threshold recorded in this cycle; 100: the breach.';
comment on column sla_clocks.due_at is
    'When the target is used up; null while the clock stands short of it, and where its calendar holds no such instant.';
comment on column sla_clocks.next_event_at is 'When the next threshold counts as crossed; a breach, just after due_at.';

create table sla_spans (
    organization_id      uuid not null,
    ticket_id            uuid not null,
    metric               text not null,
    cycle                integer not null,
    started_at           timestamptz not null,
    ended_at             timestamptz not null check (ended_at > started_at),
    used_before          numeric(16, 6) not null,
    used_seconds         numeric(16, 6) not null,
    calendar_version_id  uuid,
    primary key (ticket_id, metric, cycle, started_at),
    foreign key (ticket_id, metric, cycle) references sla_clocks on delete cascade,
    foreign key (organization_id, calendar_version_id) references calendar_versions (organization_id, id)
        deferrable initially deferred
);
call isolate_by_organization('sla_spans');
comment on table sla_spans is 'Each finished stretch in which a clock ran: what explains its elapsed time.';

create table sla_crossings (
    organization_id  uuid not null,
    ticket_id        uuid not null,
    metric           text not null,
    cycle            integer not null,
    threshold        integer not null,
    crossed_at       timestamptz not null,
    seen_at          timestamptz not null,
    primary key (ticket_id, metric, cycle, threshold),
    foreign key (ticket_id, metric, cycle) references sla_clocks on delete cascade
);
create index sla_crossings_by_age on sla_crossings (organization_id, seen_at);
call isolate_by_organization('sla_crossings');
comment on table sla_crossings is 'Each threshold a clock crossed. Its key is why nothing is told twice.';
comment on column sla_crossings.seen_at is 'The instant of the sweep or the change that recorded it: the difference is lateness.';

create table notifications (
    id               uuid primary key default gen_random_uuid(),
    organization_id  uuid not null references organizations on delete cascade,
    idempotency_key  text not null,
    kind             text not null,
    channel          text not null default 'in_app' check (channel in ('in_app')),
    recipient        text,
    ticket_id        uuid,
    metric           text,
    cycle            integer,
    threshold        integer,
    detail           jsonb not null default '{}',
    attempts         integer not null default 0,
    created_at       timestamptz not null default now(),
    delivered_at     timestamptz,
    read_at          timestamptz,
    unique (organization_id, idempotency_key),
    -- Not to tickets: a sweep must not wait for a ticket that is being deleted while that waits for the sweep's clocks.
    foreign key (ticket_id, metric, cycle, threshold) references sla_crossings on delete cascade
);
create index notifications_unread on notifications (organization_id, recipient, created_at desc) where read_at is null;
create index notifications_of_ticket on notifications (ticket_id, metric, cycle, threshold);
call isolate_by_organization('notifications');
comment on column notifications.recipient is 'The assignee; null: nobody has the ticket, everybody on the queue is told.';
comment on column notifications.delivered_at is 'In the inbox of the recipient; null until deliver_notification has run.';
