-- Open tickets that may say the same as another one, and what a customer says later on: it has a mood, and is to be answered.

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

-- What a customer says later on is read, and answered by other articles and another draft, as the ticket itself is; several
-- messages before a worker comes are one of each job.
create function ticket_messages_send_jobs() returns trigger
    language plpgsql set search_path = public as $$
declare
    wanted organization_settings;
    actor  text;
begin
    if not exists (select from tickets t
                    where t.organization_id = new.organization_id and t.id = new.ticket_id
                      and t.status not in ('resolved', 'closed')) then
        return null;
    end if;
    update drafts set stale = true where organization_id = new.organization_id and ticket_id = new.ticket_id and not stale;
    select * into wanted from organization_settings where organization_id = new.organization_id;
    foreach actor in array array_remove(array[
            case when wanted.suggest then 'suggest_articles' end,
            case when wanted.draft then 'draft_reply' end,
            case when wanted.sentiment then 'read_sentiment' end], null)
    loop
        perform pgbroker.enqueue(actor, args => jsonb_build_array(new.organization_id, new.ticket_id), queue => 'tickets',
                                 unique_key => actor || ':' || new.ticket_id, tenant => new.organization_id::text);
    end loop;
    return null;
end $$;
alter table drafts add column read_at timestamptz;
comment on column drafts.read_at is 'When the ticket was read for it: of two runs at once the later reading stays.';
-- At the end of the transaction, so that it never waits for another's message while it holds the ticket's clocks.
create constraint trigger ticket_messages_send_jobs after insert on ticket_messages
    deferrable initially deferred for each row when (new.author_kind = 'customer' and new.is_public)
    execute function ticket_messages_send_jobs();
comment on column drafts.stale is
    'What it cites has changed, has left the public, or its ticket was opened again; or the customer has said more since.';
