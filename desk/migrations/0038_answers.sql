-- What an agent or a customer is offered: drafts whose citations exist, suggestions that follow the articles, votes, what
-- became of drafts, and how often a suggestion spared a ticket.

alter table organization_settings add column answers_from_tickets boolean not null default true;
comment on column organization_settings.answers_from_tickets is
    'Whether public replies of resolved tickets may be quoted, without personal data: in drafts and before a ticket is sent.';

-- A text without spaces and ASCII punctuation, links by their labels: what is left of a quotation however it was set.
create function quotable(words text) returns text
    language sql immutable parallel safe
    return regexp_replace(regexp_replace(words, '!?\[([^]]*)\]\([^)]*\)', '\1', 'g'),
        '[\s!-/:-@[-`{-~\u0080-\u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]+', '', 'g');

-- Masks stand where personal data stood (desk.tickets.masking): what is between them must be in the source, line by line.
create function is_quoted(quotation text, source text) returns boolean
    language sql immutable parallel safe
    return (select bool_or(quotable(part) <> '') and bool_and(position(quotable(part) in quotable(source)) > 0)
              from regexp_split_to_table(quotation, '\n|\[(?:e-mail|phone|number|name|link|address)\]') as part);
comment on function is_quoted is 'Whether each line of a quotation, masks aside, is in the source word for word.';

-- A draft cites what is there, public, and says it: whoever writes the draft. The articles and messages are locked against
-- change, so that an edit that comes at the same time sees the draft and marks it.
create function drafts_check_citations() returns trigger
    language plpgsql set search_path = public as $$
declare
    cited  record;
    marks  integer[];
begin
    if new.body is not null then
        select coalesce(array_agg(distinct mark[1]::integer order by mark[1]::integer), '{}') into marks
          from regexp_matches(new.body, '\[(\d{1,4})\]', 'g') as mark;
        if marks is distinct from (select coalesce(array_agg(c.mark order by c.mark), '{}')
                                     from jsonb_to_recordset(new.citations) as c (mark integer)) then
            raise exception 'the marks of the draft are not those of its citations'
                using errcode = 'check_violation', constraint = 'drafts_citations_exist';
        end if;
    end if;
    for cited in
        select c.* from jsonb_to_recordset(new.citations) as c
               (mark integer, article_id uuid, article_revision integer, chunk integer, ticket_id uuid, message_id uuid,
                text text)
         order by c.article_id, c.message_id  -- two drafts lock in the same order
    loop
        if cited.article_id is not null then
            perform from articles a
              where a.organization_id = new.organization_id and a.id = cited.article_id
                and a.revision = cited.article_revision and a.visibility = 'public' and a.status = 'published'
                and a.deleted_at is null
                for share;
            continue when found and exists (
                select from chunks c
                 where c.organization_id = new.organization_id and c.article_id = cited.article_id
                   and c.article_revision = cited.article_revision and (cited.chunk is null or c.ord = cited.chunk)
                   and is_quoted(cited.text, c.text));
        elsif cited.message_id is not null then
            perform from ticket_messages m
               join tickets t on t.organization_id = m.organization_id and t.id = m.ticket_id
              where m.organization_id = new.organization_id and m.id = cited.message_id and m.ticket_id = cited.ticket_id
                and m.is_public and m.author_kind = 'agent' and t.status in ('resolved', 'closed')
                and is_quoted(cited.text, m.body)
                for share of m;
            continue when found;
        end if;
        raise exception 'citation [%] of the draft is of nothing public that says so', coalesce(cited.mark::text, '?')
            using errcode = 'check_violation', constraint = 'drafts_citations_exist';
    end loop;
    return new;
end $$;
create trigger drafts_check_citations before insert or update of body, citations on drafts
    for each row execute function drafts_check_citations();
comment on column drafts.citations is
    '[{"mark", "text", "article_id", "article_revision", "title", "heading", "chunk"} or '
    '{"mark", "text", "ticket_id", "message_id"}]: where each passage is from. A trigger refuses one that does not exist, is not public or does not say that.';

-- A reply that is edited, withdrawn or deleted, and a ticket that was not resolved after all.
create function ticket_messages_mark_drafts_stale() returns trigger
    language plpgsql set search_path = public as $$
begin
    update drafts set stale = true
     where organization_id = old.organization_id and not stale
       and citations @> jsonb_build_array(jsonb_build_object('message_id', old.id));
    return null;
end $$;
create trigger ticket_messages_mark_drafts_stale after update of body, is_public, author_kind on ticket_messages
    for each row when ((old.body, old.is_public, old.author_kind) is distinct from (new.body, new.is_public, new.author_kind))
    execute function ticket_messages_mark_drafts_stale();
create trigger ticket_messages_mark_drafts_stale_on_delete after delete on ticket_messages
    for each row when (old.author_kind = 'agent') execute function ticket_messages_mark_drafts_stale();

create function tickets_mark_drafts_stale() returns trigger
    language plpgsql set search_path = public as $$
begin
    update drafts set stale = true
     where organization_id = old.organization_id and not stale
       and citations @> jsonb_build_array(jsonb_build_object('ticket_id', old.id));
    return null;
end $$;
create trigger tickets_mark_drafts_stale after update of status on tickets
    for each row when (old.status in ('resolved', 'closed') and new.status not in ('resolved', 'closed'))
    execute function tickets_mark_drafts_stale();

-- That suggestions were looked for, and how many there were: none is an answer, too.
create table suggestion_runs (
    organization_id  uuid not null,
    ticket_id        uuid not null,
    ticket_revision  integer not null,
    articles         smallint not null check (articles between 0 and 3),
    made_at          timestamptz not null default now(),
    primary key (organization_id, ticket_id),
    foreign key (organization_id, ticket_id) references tickets (organization_id, id) on delete cascade
);
create index suggestion_runs_without on suggestion_runs (organization_id, made_at) where articles = 0;
call isolate_by_organization('suggestion_runs');
comment on column suggestion_runs.made_at is 'When the articles were searched.';
insert into suggestion_runs (organization_id, ticket_id, ticket_revision, articles, made_at)
select organization_id, ticket_id, max(ticket_revision), count(*), min(created_at) from suggestions group by 1, 2;

-- When an article has become searchable as it is now, what was offered for open tickets may be better now. One message for an
-- organization, after a pause in which others of an import join it.
create function article_index_offer_again() returns trigger
    language plpgsql set search_path = public as $$
begin
    if exists (select from suggestions s
                where s.organization_id = new.organization_id and s.article_id = new.article_id)
       or exists (select from suggestion_runs r
                   where r.organization_id = new.organization_id and r.articles = 0 and r.made_at > now() - interval '14 days')
       or exists (select from drafts d
                   where d.organization_id = new.organization_id and d.stale
                     and d.citations @> jsonb_build_array(jsonb_build_object('article_id', new.article_id))) then
        perform send_offer_again(new.organization_id);
    end if;
    return null;
end $$;
create function send_offer_again(organization uuid) returns void
    language sql set search_path = public as $$
    select pgbroker.enqueue('offer_again', args => jsonb_build_array(organization), queue => 'tickets',
                            delay => interval '10 seconds', unique_key => 'offer_again:' || organization,
                            tenant => organization::text)
$$;
create constraint trigger article_index_offer_again after update of done_revision on article_index
    deferrable initially deferred for each row execute function article_index_offer_again();

-- A deleted row takes its suggestions along.
create function articles_offer_again() returns trigger
    language plpgsql set search_path = public as $$
begin
    if exists (select from suggestions s where s.organization_id = old.organization_id and s.article_id = old.id) then
        perform send_offer_again(old.organization_id);
    end if;
    return old;
end $$;
create trigger articles_offer_again before delete on articles
    for each row execute function articles_offer_again();

create table suggestion_votes (
    organization_id   uuid not null,
    ticket_id         uuid not null,
    article_id        uuid not null,
    article_revision  integer not null,
    voter             text not null check (voter <> ''),
    helpful           boolean not null,
    voted_at          timestamptz not null default now(),
    primary key (organization_id, ticket_id, article_id, article_revision, voter),
    foreign key (organization_id, ticket_id) references tickets (organization_id, id) on delete cascade,
    foreign key (organization_id, article_id) references articles (organization_id, id) on delete cascade
);
create index suggestion_votes_of_article on suggestion_votes (organization_id, article_id);
call isolate_by_organization('suggestion_votes');
comment on table suggestion_votes is 'Whether a suggested article helped with a ticket. Voting again replaces the vote.';

create table draft_outcomes (
    organization_id   uuid not null,
    ticket_id         uuid not null,
    draft_created_at  timestamptz not null,
    method            text not null,
    outcome           text not null check (outcome in ('used', 'edited', 'discarded')),
    agent             text not null check (agent <> ''),
    at                timestamptz not null default now(),
    primary key (organization_id, ticket_id, draft_created_at),
    foreign key (organization_id, ticket_id) references tickets (organization_id, id) on delete cascade
);
call isolate_by_organization('draft_outcomes');
comment on table draft_outcomes is 'What an agent did with a draft. One that was decided on is not made anew.';

create table deflections (
    id               uuid primary key default gen_random_uuid(),
    organization_id  uuid not null references organizations on delete cascade,
    shown_at         timestamptz not null default now(),
    articles         smallint not null,
    answers          smallint not null,
    clicked_at       timestamptz,
    submitted_at     timestamptz
);
create index deflections_by_age on deflections (organization_id, shown_at);
call isolate_by_organization('deflections');
comment on table deflections is
    'That something was offered before a ticket was sent, and whether it was sent all the same. Neither words nor a person.';
