-- An organization's own rules of priority. Each `set` is a version of its own; the newest one counts.

create table triage_rules (
    organization_id  uuid not null references organizations on delete cascade,
    version          integer not null check (version > 0),
    document         jsonb not null check (jsonb_typeof(document) = 'object'),
    set_at           timestamptz not null default now(),
    primary key (organization_id, version)
);
call isolate_by_organization('triage_rules');
comment on table triage_rules is 'No row: the rules that are shipped (words/urgency.tsv) alone.';
