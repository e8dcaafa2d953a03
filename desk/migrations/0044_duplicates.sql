-- Open tickets that may say the same as another one, and the mood of what a customer says later on.

alter table organization_settings add column duplicates boolean not null default true;
comment on column organization_settings.duplicates is
    'Whether open tickets that may say the same are flagged, when articles are suggested. Nothing is merged.';

create table possible_duplicates (
    organization_id  uuid not null,
    ticket_id        uuid not null,
    of_ticket_id     uuid not null,
    similarity       double precision not null,
    shared_words     double precision not null check (shared_words between 0 and 1),
    same_requester   boolean not null,
    found_at         timestamptz not null default now(),
    primary key (organization_id, ticket_id, of_ticket_id),
    foreign key (organization_id, ticket_id) references tickets (organization_id, id) on delete cascade,
    foreign key (organization_id, of_ticket_id) references tickets (organization_id, id) on delete cascade,
    check (ticket_id <> of_ticket_id)
);
create index possible_duplicates_of on possible_duplicates (organization_id, of_ticket_id);
call isolate_by_organization('possible_duplicates');
comment on table possible_duplicates is 'ticket_id is the newer of the two. A hint to agents: what becomes of it, they decide.';
comment on column possible_duplicates.similarity is 'Cosine of the two texts.';
comment on column possible_duplicates.shared_words is 'Words that both have, as a share of those that either has.';

alter table sentiments add column message_seq bigint;
comment on column sentiments.message_seq is 'Of the customer''s message that it was read from; null: of the ticket''s own text.';

-- What a customer says later on is read as well; several messages before a worker comes are one.
create function ticket_messages_send_sentiment() returns trigger
    language plpgsql set search_path = public as $$
begin
    if exists (select from organization_settings s where s.organization_id = new.organization_id and s.sentiment)
       and exists (select from tickets t
                    where t.organization_id = new.organization_id and t.id = new.ticket_id
                      and t.status not in ('resolved', 'closed')) then
        perform pgbroker.enqueue('read_sentiment', args => jsonb_build_array(new.organization_id, new.ticket_id),
                                 queue => 'tickets', unique_key => 'read_sentiment:' || new.ticket_id,
                                 tenant => new.organization_id::text);
    end if;
    return null;
end $$;
-- At the end of the transaction, so that it never waits for another's message while it holds the ticket's clocks.
create constraint trigger ticket_messages_send_sentiment after insert on ticket_messages
    deferrable initially deferred for each row when (new.author_kind = 'customer' and new.is_public)
    execute function ticket_messages_send_sentiment();
