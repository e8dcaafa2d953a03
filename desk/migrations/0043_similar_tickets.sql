-- Resolved tickets are found by what was the matter; what helped then is kept beside it, with a vector of its own.

create table ticket_resolutions (
    organization_id  uuid not null,
    ticket_id        uuid not null,
    model            text not null,
    message_seq      bigint not null,
    text             text not null,
    vector           bytea not null check (length(vector) > 0 and length(vector) % 2 = 0),
    created_at       timestamptz not null default now(),
    primary key (organization_id, ticket_id, model),
    foreign key (organization_id, ticket_id) references tickets (organization_id, id) on delete cascade
);
call isolate_by_organization('ticket_resolutions');
comment on table ticket_resolutions is 'Of resolved tickets: the last public answer. The problem''s vector is in ticket_embeddings.';
comment on column ticket_resolutions.message_seq is 'The answer that it is; a later one takes its place.';
comment on column ticket_resolutions.vector is 'Little-endian float16, unit length.';

-- One message for an organization, however many tickets are resolved before a worker comes. Tickets that come in resolved,
-- as history does, send none: the hourly look finds them.
create function tickets_send_indexing() returns trigger
    language plpgsql set search_path = public as $$
begin
    perform pgbroker.enqueue('index_tickets', args => jsonb_build_array(new.organization_id), queue => 'tickets',
                             unique_key => 'index_tickets:' || new.organization_id, tenant => new.organization_id::text);
    return null;
end $$;
-- At the end of the transaction, so that it never waits for another's message while it holds rows that the other wants.
create constraint trigger tickets_send_indexing after update of status on tickets
    deferrable initially deferred for each row
    when (new.status in ('resolved', 'closed') and old.status not in ('resolved', 'closed'))
    execute function tickets_send_indexing();
