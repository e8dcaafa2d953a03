-- Tickets, what was said on them, and what happened to them.

create table tickets (
    id                  uuid primary key default gen_random_uuid(),
    organization_id     uuid not null references organizations on delete cascade,
    subject             text not null check (subject <> ''),
    body                text not null default '',
    status              text not null default 'new' check (status in
                            ('new', 'accepted', 'assigned', 'in_progress', 'waiting_customer', 'resolved', 'closed')),
    priority            text not null default 'medium' check (priority in ('low', 'medium', 'high', 'urgent')),
    category            text,
    category_by         text check (category_by in ('person', 'triage')),
    tags                text[] not null default '{}',
    language            text,
    requester           text,
    assignee            text,
    revision            integer not null default 1,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),
    accepted_at         timestamptz,
    first_response_at   timestamptz,
    resolved_at         timestamptz,
    closed_at           timestamptz,
    unique (organization_id, id),
    check ((category is null) = (category_by is null))
);
comment on column tickets.category_by is 'Who set the category. Triage learns only from what a person set or confirmed.';
comment on column tickets.revision is 'Counts changes of subject and body: a result names the revision it was made from.';
create index tickets_by_status on tickets (organization_id, status, created_at);
create index tickets_labelled on tickets (organization_id, created_at desc) where category_by = 'person';
call isolate_by_organization('tickets');

create table ticket_messages (
    id               uuid primary key default gen_random_uuid(),
    organization_id  uuid not null,
    ticket_id        uuid not null,
    author_kind      text not null check (author_kind in ('customer', 'agent', 'system')),
    author           text,
    body             text not null,
    is_public        boolean not null default true,
    created_at       timestamptz not null default now(),
    seq              bigint not null generated always as identity,
    foreign key (organization_id, ticket_id) references tickets (organization_id, id) on delete cascade
);
create index ticket_messages_of_ticket on ticket_messages (organization_id, ticket_id, created_at);
call isolate_by_organization('ticket_messages');
comment on column ticket_messages.seq is 'The order of what was said at the same instant, as in one transaction.';
comment on column ticket_messages.is_public is 'False: an internal note. It stops no clock and is quoted to nobody.';

create table ticket_events (
    id               bigint generated always as identity primary key,
    organization_id  uuid not null,
    ticket_id        uuid not null,
    at               timestamptz not null default now(),
    kind             text not null,
    old_value        text,
    new_value        text,
    foreign key (organization_id, ticket_id) references tickets (organization_id, id) on delete cascade
);
create index ticket_events_of_ticket on ticket_events (organization_id, ticket_id, at);
create index ticket_events_by_age on ticket_events (organization_id, at);
call isolate_by_organization('ticket_events');
comment on table ticket_events is 'Each change of status, priority, category and assignee, written by trigger whoever changed it.';

-- Instants and revision follow the columns, whoever writes them. An instant that the writer gives (an import) stands.
create function tickets_before_write() returns trigger
    language plpgsql set search_path = public as $$
begin
    if tg_op = 'UPDATE' then
        new.updated_at := greatest(now(), old.updated_at);
        if (new.subject, new.body) is distinct from (old.subject, old.body) then
            new.revision := old.revision + 1;
        end if;
        if new.status not in ('resolved', 'closed') and old.status in ('resolved', 'closed') then
            new.resolved_at := null;
            new.closed_at := null;
        end if;
    end if;
    if new.status <> 'new' and new.accepted_at is null then
        new.accepted_at := case when tg_op = 'INSERT' then new.created_at else now() end;
    end if;
    if new.status in ('resolved', 'closed') and new.resolved_at is null then
        new.resolved_at := now();
    end if;
    if new.status = 'closed' and new.closed_at is null then
        new.closed_at := greatest(new.resolved_at, case when tg_op = 'UPDATE' then now() else new.resolved_at end);
    end if;
    return new;
end $$;
create trigger tickets_before_write before insert or update on tickets
    for each row execute function tickets_before_write();

create function tickets_record_events() returns trigger
    language plpgsql set search_path = public as $$
begin
    if tg_op = 'INSERT' then
        insert into ticket_events (organization_id, ticket_id, at, kind, new_value)
        values (new.organization_id, new.id, new.created_at, 'status', new.status);
        return null;
    end if;
    insert into ticket_events (organization_id, ticket_id, at, kind, old_value, new_value)
    select new.organization_id, new.id, happening_at(), change.kind, change.old_value, change.new_value
      from (values ('status', old.status, new.status),
                   ('priority', old.priority, new.priority),
                   ('category', old.category, new.category),
                   ('assignee', old.assignee, new.assignee)) as change (kind, old_value, new_value)
     where change.old_value is distinct from change.new_value;
    return null;
end $$;
create trigger tickets_record_events after insert or update on tickets
    for each row execute function tickets_record_events();
