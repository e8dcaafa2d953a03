-- Organizations, their settings, the audit log, and the rule that keeps their rows apart.
--
-- Every table with an organization_id calls isolate_by_organization(). From then on a role that cannot bypass row-level
-- security sees the rows of app.current_organization alone, the owner included, unless it acts in a function of ours.

create function current_organization() returns uuid
    language sql stable parallel safe
    return nullif(current_setting('app.organization_id', true), '')::uuid;

comment on function current_organization is
    'The organization that this transaction works for: set_config(''app.organization_id'', …, true). Null: none.';

-- atum_owner passes, so that the few security-definer functions that serve all organizations at once (the sweep asks
-- which have work) can count; nobody logs in as atum_owner.
create procedure isolate_by_organization(tab regclass)
    language plpgsql as $$
begin
    execute format('alter table %s enable row level security', tab);
    execute format('alter table %s force row level security', tab);
    execute format('create policy one_organization on %s using (organization_id = current_organization())', tab);
    execute format('create policy owner_functions on %s to atum_owner using (true)', tab);
end $$;

create table organizations (
    id          uuid primary key default gen_random_uuid(),
    name        text not null unique check (name = btrim(name) and name <> ''),
    created_at  timestamptz not null default now()
);
comment on table organizations is 'The tenants. No rows of anybody''s: every worker may look a name up.';

-- One row per organization, with every switch at its default from the start.
create table organization_settings (
    organization_id             uuid primary key references organizations on delete cascade,
    timezone                    text not null default 'UTC',
    -- which jobs a new ticket sends
    triage                      boolean not null default true,
    suggest                     boolean not null default true,
    draft                       boolean not null default true,
    sentiment                   boolean not null default true,
    predict                     boolean not null default true,
    -- what they may do by themselves
    triage_applies_above        double precision check (triage_applies_above between 0 and 1),
    escalate_angry_above        double precision check (escalate_angry_above between 0 and 1),
    -- what is kept for how long
    keep_finished_days          integer not null default 30 check (keep_finished_days > 0),
    keep_events_days            integer not null default 365 check (keep_events_days > 0),
    keep_audit_days             integer not null default 730 check (keep_audit_days > 0),
    updated_at                  timestamptz not null default now()
);
call isolate_by_organization('organization_settings');
comment on column organization_settings.triage_applies_above is
    'Confidence from which triage sets category and priority itself; null: it only suggests.';
comment on column organization_settings.escalate_angry_above is
    'Strength of anger (0 to 1) from which a ticket is raised to urgent; null: never.';

create function organizations_have_settings() returns trigger
    language plpgsql security definer set search_path = public as $$
begin
    insert into organization_settings (organization_id) values (new.id);
    return null;
end $$;
create trigger organizations_have_settings after insert on organizations
    for each row execute function organizations_have_settings();

create table audit_log (
    id               bigint generated always as identity primary key,
    organization_id  uuid not null references organizations on delete cascade,
    at               timestamptz not null default now(),
    who              text not null,
    action           text not null,
    subject_kind     text not null,
    subject_id       text not null,
    detail           jsonb not null default '{}'
);
create index audit_log_by_age on audit_log (organization_id, at);
call isolate_by_organization('audit_log');
comment on table audit_log is 'What was done to whom by a person or a job, beyond what ticket_events tells.';
