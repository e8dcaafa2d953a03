-- What the ticket jobs find out, and the triggers that send them.
--
-- Every result names the ticket's revision (or the articles' revisions) that it was made from; whoever shows one compares.
-- No pgvector here: triage works on a Postgres without it.

-- Vectors of subject and body, for triage: little-endian float16, unit length.
create table ticket_embeddings (
    organization_id  uuid not null,
    ticket_id        uuid not null,
    model            text not null,
    revision         integer not null,
    vector           bytea not null check (length(vector) > 0 and length(vector) % 2 = 0),
    created_at       timestamptz not null default now(),
    primary key (organization_id, ticket_id, model),
    foreign key (organization_id, ticket_id) references tickets (organization_id, id) on delete cascade
);
call isolate_by_organization('ticket_embeddings');
comment on table ticket_embeddings is 'Current where revision is the ticket''s own; a job replaces the others.';

create table triage_results (
    organization_id      uuid not null,
    ticket_id            uuid not null,
    revision             integer not null,
    outcome              text not null check (outcome in ('applied', 'suggested', 'abstained')),
    category             text,
    category_confidence  double precision check (category_confidence between 0 and 1),
    priority             text check (priority in ('low', 'medium', 'high', 'urgent')),
    priority_confidence  double precision check (priority_confidence between 0 and 1),
    intent               text,
    intent_confidence    double precision check (intent_confidence between 0 and 1),
    tags                 jsonb not null default '[]' check (jsonb_typeof(tags) = 'array'),
    evidence             jsonb not null default '{}',
    reason               text not null,
    method               text not null,
    model                text,
    calibrated           boolean not null,
    created_at           timestamptz not null default now(),
    primary key (organization_id, ticket_id, revision),
    foreign key (organization_id, ticket_id) references tickets (organization_id, id) on delete cascade,
    check ((outcome = 'abstained') = (category is null))
);
call isolate_by_organization('triage_results');
comment on column triage_results.outcome is
    'Of the category: set by triage, suggested to a person, or not known for the reason given.';
comment on column triage_results.evidence is
    '{"category": [{"ticket_id", "category", "similarity"}], "priority": […], "intent": […], "tags": […]}';
comment on column triage_results.category_confidence is 'Probability that the category is right; null where none is known.';

create table suggestions (
    organization_id   uuid not null,
    ticket_id         uuid not null,
    position          smallint not null check (position between 1 and 3),
    ticket_revision   integer not null,
    article_id        uuid not null,
    article_revision  integer not null,
    title             text not null,
    heading           text not null default '',
    excerpt           text not null,
    score             double precision not null,
    created_at        timestamptz not null default now(),
    primary key (organization_id, ticket_id, position),
    foreign key (organization_id, ticket_id) references tickets (organization_id, id) on delete cascade,
    foreign key (organization_id, article_id) references articles (organization_id, id) on delete cascade
);
create index suggestions_of_article on suggestions (organization_id, article_id);
call isolate_by_organization('suggestions');

create table drafts (
    organization_id  uuid not null,
    ticket_id        uuid not null,
    revision         integer not null,
    body             text,
    citations        jsonb not null default '[]' check (jsonb_typeof(citations) = 'array'),
    reason           text,
    stale            boolean not null default false,
    method           text not null,
    created_at       timestamptz not null default now(),
    primary key (organization_id, ticket_id),
    foreign key (organization_id, ticket_id) references tickets (organization_id, id) on delete cascade,
    check ((body is null) = (jsonb_array_length(citations) = 0)),
    check ((body is null) = (reason is not null))
);
create index drafts_by_citation on drafts using gin (citations jsonb_path_ops);
call isolate_by_organization('drafts');
comment on table drafts is 'A reply for a person to edit and send; nothing here is ever sent by itself.';
comment on column drafts.citations is
    '[{"mark", "article_id", "article_revision", "title", "heading", "text"}]: where each passage of the body is from.';
comment on column drafts.reason is 'Why there is no draft, e.g. nothing relevant.';
comment on column drafts.stale is 'A cited article has changed, or left the public, since.';

create table sentiments (
    organization_id  uuid not null,
    ticket_id        uuid not null,
    revision         integer not null,
    label            text not null check (label in ('positive', 'neutral', 'negative', 'unknown')),
    score            double precision check (score between -1 and 1),
    urgency          text not null check (urgency in ('low', 'normal', 'high', 'unknown')),
    reasons          jsonb not null default '[]' check (jsonb_typeof(reasons) = 'array'),
    escalated        boolean not null default false,
    created_at       timestamptz not null default now(),
    primary key (organization_id, ticket_id),
    foreign key (organization_id, ticket_id) references tickets (organization_id, id) on delete cascade,
    check ((label = 'unknown') = (score is null))
);
call isolate_by_organization('sentiments');

create table breach_predictions (
    organization_id  uuid not null,
    ticket_id        uuid not null,
    probability      double precision check (probability between 0 and 1),
    reason           text,
    basis            jsonb not null default '{}',
    predicted_at     timestamptz not null default now(),
    primary key (organization_id, ticket_id),
    foreign key (organization_id, ticket_id) references tickets (organization_id, id) on delete cascade,
    check ((probability is null) = (reason is not null))
);
call isolate_by_organization('breach_predictions');
comment on column breach_predictions.reason is 'Why there is no probability: insufficient history, no running clock.';

create table metric_snapshots (
    organization_id  uuid not null references organizations on delete cascade,
    bucket_start     timestamptz not null,
    data             jsonb not null,
    computed_at      timestamptz not null default now(),
    primary key (organization_id, bucket_start)
);
call isolate_by_organization('metric_snapshots');

-- The history that predict_sla reads: closed tickets, newest first.
create index tickets_resolved on tickets (organization_id, resolved_at desc) where resolved_at is not null;

-- A new ticket sends the jobs that its organization wants, in the transaction that makes it. Fires after
-- tickets_record_events (triggers of one event fire by name).
create function tickets_send_jobs() returns trigger
    language plpgsql set search_path = public as $$
declare
    wanted organization_settings;
    actor  text;
begin
    select * into wanted from organization_settings where organization_id = new.organization_id;
    foreach actor in array array_remove(array[
            -- What a person has decided is not asked again.
            case when wanted.triage and new.category_by is distinct from 'person' then 'triage_ticket' end,
            case when wanted.suggest then 'suggest_articles' end,
            case when wanted.draft then 'draft_reply' end,
            case when wanted.sentiment then 'read_sentiment' end], null)
    loop
        perform pgbroker.enqueue(actor, args => jsonb_build_array(new.organization_id, new.id), queue => 'tickets',
                                 unique_key => actor || ':' || new.id, tenant => new.organization_id::text);
    end loop;
    return null;
end $$;
create trigger tickets_send_jobs after insert on tickets
    for each row when (new.status = 'new') execute function tickets_send_jobs();
-- An edit of what the results were made from; several edits before a worker comes are one message.
create trigger tickets_send_jobs_again after update of subject, body on tickets
    for each row when (new.revision > old.revision and new.status not in ('resolved', 'closed'))
    execute function tickets_send_jobs();

-- A clock starts when a ticket is accepted, whoever does it; from then on a breach can be predicted.
create function tickets_send_prediction() returns trigger
    language plpgsql set search_path = public as $$
begin
    if exists (select from organization_settings where organization_id = new.organization_id and predict) then
        perform pgbroker.enqueue('predict_sla', args => jsonb_build_array(new.organization_id, new.id), queue => 'tickets',
                                 unique_key => 'predict_sla:' || new.id, tenant => new.organization_id::text);
    end if;
    return null;
end $$;
create trigger tickets_send_prediction after insert on tickets
    for each row when (new.status not in ('new', 'resolved', 'closed')) execute function tickets_send_prediction();
create trigger tickets_send_prediction_again after update of status, priority, category on tickets
    for each row when (new.status not in ('new', 'waiting_customer', 'resolved', 'closed')
        and (old.status, old.priority, old.category) is distinct from (new.status, new.priority, new.category))
    execute function tickets_send_prediction();

-- A draft shows what its articles said; when one says something else, or is no longer public, the draft is marked.
create function articles_mark_drafts_stale() returns trigger
    language plpgsql set search_path = public as $$
begin
    update drafts set stale = true
     where organization_id = old.organization_id and not stale
       and citations @> jsonb_build_array(jsonb_build_object('article_id', old.id));
    return null;
end $$;
-- A revision counts changes of text, language, visibility and status, and the deletion.
create trigger articles_mark_drafts_stale after update on articles
    for each row when (old.revision <> new.revision) execute function articles_mark_drafts_stale();
create trigger articles_mark_drafts_stale_on_delete after delete on articles
    for each row execute function articles_mark_drafts_stale();
