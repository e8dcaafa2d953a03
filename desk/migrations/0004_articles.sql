-- Articles, the chunks that search reads, and which of them a worker still has to bring up to date.
--
-- A change of an article raises its revision, marks it in article_index and sends one index_articles message for its
-- organization, all in the transaction that changed it: a rolled-back edit leaves no message, a committed one is found.

create table models (
    id          smallint generated always as identity primary key,
    name        text not null unique,
    dimensions  integer not null check (dimensions > 0),
    state       text not null check (state in ('building', 'active', 'retired')),
    created_at  timestamptz not null default now()
);
create unique index models_one_active on models (state) where state = 'active';
comment on table models is 'Embedding models. Vectors of different models are never compared; search reads the active one.';
insert into models (name, dimensions, state) values ('sentence-transformers/all-MiniLM-L6-v2', 384, 'active');

-- The text-search configuration of a language tag (en, pt-BR); 'simple', without stems, where Postgres has none.
create function search_config(language text) returns regconfig
    language sql immutable parallel safe
    return case lower(split_part(language, '-', 1))
        when 'ar' then 'arabic'     when 'ca' then 'catalan'    when 'da' then 'danish'   when 'de' then 'german'
        when 'el' then 'greek'      when 'en' then 'english'    when 'es' then 'spanish'  when 'eu' then 'basque'
        when 'fi' then 'finnish'    when 'fr' then 'french'     when 'ga' then 'irish'    when 'hi' then 'hindi'
        when 'hu' then 'hungarian'  when 'hy' then 'armenian'   when 'id' then 'indonesian'
        when 'it' then 'italian'    when 'lt' then 'lithuanian' when 'nb' then 'norwegian' when 'ne' then 'nepali'
        when 'nl' then 'dutch'      when 'no' then 'norwegian'  when 'pt' then 'portuguese' when 'ro' then 'romanian'
        when 'ru' then 'russian'    when 'sr' then 'serbian'    when 'sv' then 'swedish'  when 'ta' then 'tamil'
        when 'tr' then 'turkish'    when 'yi' then 'yiddish'    else 'simple' end::regconfig;

create table articles (
    id               uuid primary key default gen_random_uuid(),
    organization_id  uuid not null references organizations on delete cascade,
    external_id      text not null check (external_id <> '' and length(external_id) <= 500),
    title            text not null check (btrim(title) <> ''),
    body_md          text not null default '',
    category         text,
    language         text not null default 'en' check (language ~ '^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$'),
    visibility       text not null default 'public' check (visibility in ('public', 'internal')),
    status           text not null default 'published' check (status in ('draft', 'published', 'archived')),
    revision         integer not null default 1,
    deleted_at       timestamptz,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    unique (organization_id, id),
    unique (organization_id, external_id)
);
call isolate_by_organization('articles');
comment on column articles.external_id is 'The article''s name where it comes from: a path, a number of another system.';
comment on column articles.revision is 'Counts changes of title, body, language, visibility, status and deletion.';
comment on column articles.deleted_at is 'Set: the article is gone from search at commit; its chunks go when a worker comes by.';

create table chunks (
    organization_id   uuid not null,
    article_id        uuid not null,
    ord               integer not null,
    heading_path      text[] not null,
    text              text not null,
    token_count       integer not null,
    chunk_sha         bytea not null,
    article_revision  integer not null,
    is_navigation     boolean not null,
    config            regconfig not null,
    tsv               tsvector not null,
    words             integer not null,
    primary key (organization_id, article_id, ord),
    foreign key (organization_id, article_id) references articles (organization_id, id) on delete cascade
);
create index chunks_by_sha on chunks (organization_id, chunk_sha);
create index chunks_by_words on chunks using gin (tsv);
call isolate_by_organization('chunks');
comment on column chunks.text is 'As a reader sees it; the model sees title and headings above it.';
comment on column chunks.chunk_sha is 'Of what the model sees: chunks that share it share a vector.';
comment on column chunks.is_navigation is 'Nothing but links to elsewhere: it names what other articles answer.';
comment on column chunks.words is 'How many words the search counts in it, for its length against the others''.';

create function chunk_tsv(config regconfig, title text, heading_path text[], body text) returns tsvector
    language sql immutable parallel safe
    return setweight(to_tsvector(config, title), 'A')
        || setweight(to_tsvector(config, array_to_string(heading_path, ' ')), 'B')
        || setweight(to_tsvector(config, body), 'C');

create function chunk_words(tsv tsvector) returns integer
    language sql immutable parallel safe
    return (select coalesce(sum(cardinality(word.positions)), 0)::integer from unnest(tsv) word);

-- One row per article and model: what is to be done, what was done, and what went wrong.
create table article_index (
    organization_id  uuid not null,
    article_id       uuid not null,
    model_id         smallint not null references models,
    wanted_revision  integer not null,
    done_revision    integer,
    state            text not null default 'pending' check (state in ('pending', 'ok', 'dead')),
    attempts         integer not null default 0,
    next_try_at      timestamptz not null default now(),
    last_error       text,
    wanted_at        timestamptz not null default now(),
    done_at          timestamptz,
    taken_by         uuid,
    fresh_from       timestamptz,
    primary key (organization_id, article_id, model_id),
    foreign key (organization_id, article_id) references articles (organization_id, id) on delete cascade
);
create index article_index_due on article_index (organization_id, model_id, next_try_at) where state = 'pending';
call isolate_by_organization('article_index');
comment on column article_index.next_try_at is
    'Not before: after a failure the end of the pause; while a worker has the article the end of its lease.';
comment on column article_index.taken_by is 'The run that has it; another may take it once next_try_at has passed.';
comment on column article_index.fresh_from is 'Vectors made before are made anew, not reused; null: any will do.';

-- The active model, as it is or, while nothing was indexed with it yet, as a worker is configured. The caller compares.
create function active_model(wanted text, wanted_dimensions integer) returns table (id smallint, name text)
    language plpgsql security definer set search_path = public as $$
declare
    active models;
    chosen smallint;
begin
    select * into active from models where state = 'active';
    if active.name = wanted then
        return query select active.id, active.name;
        return;
    end if;
    perform from models where state = 'active' for update;
    if exists (select from article_index where done_revision is not null) then
        return query select active.id, active.name;
        return;
    end if;
    update models set state = 'retired' where state = 'active';
    insert into models as m (name, dimensions, state) values (wanted, wanted_dimensions, 'active')
    on conflict on constraint models_name_key do update set state = 'active' returning m.id into chosen;
    update article_index set model_id = chosen where model_id = active.id;
    return query select chosen, wanted;
end $$;

create function articles_before_update() returns trigger
    language plpgsql set search_path = public as $$
begin
    new.updated_at := greatest(now(), old.updated_at);
    if (new.title, new.body_md, new.language, new.visibility, new.status, new.deleted_at)
       is distinct from (old.title, old.body_md, old.language, old.visibility, old.status, old.deleted_at) then
        new.revision := old.revision + 1;
    else
        new.revision := old.revision;
    end if;
    return new;
end $$;
create trigger articles_before_update before update on articles
    for each row execute function articles_before_update();

-- Every model that is in use or being built wants the new revision. A dead article lives again: its text has changed.
create function articles_mark_stale() returns trigger
    language plpgsql set search_path = public as $$
begin
    insert into article_index (organization_id, article_id, model_id, wanted_revision)
    select changed.organization_id, changed.id, models.id, changed.revision
      from changed cross join models
     where models.state in ('active', 'building')
    on conflict (organization_id, article_id, model_id) do update
       set wanted_revision = excluded.wanted_revision, state = 'pending', attempts = 0, last_error = null,
           wanted_at = now(),
           -- Who has it keeps it, and goes on with the new text and the vectors of what did not change.
           next_try_at = case when article_index.taken_by is null then now() else article_index.next_try_at end
     where article_index.wanted_revision <> excluded.wanted_revision;
    return null;
end $$;
create trigger articles_mark_stale_inserted after insert on articles
    referencing new table as changed for each statement execute function articles_mark_stale();
create trigger articles_mark_stale_updated after update on articles
    referencing new table as changed for each statement execute function articles_mark_stale();

-- At the end of the transaction, so that it never waits for another's message while it holds rows that the other wants.
-- Who sets wanted_at wants the work done; a pause or a lease sets next_try_at only.
create function article_index_send() returns trigger
    language plpgsql set search_path = public as $$
begin
    perform pgbroker.enqueue('index_articles', args => jsonb_build_array(new.organization_id), queue => 'kb',
        unique_key => 'index_articles:' || new.organization_id, tenant => new.organization_id::text);
    return null;
end $$;
create constraint trigger article_index_send_inserted after insert on article_index
    deferrable initially deferred for each row execute function article_index_send();
create constraint trigger article_index_send_updated after update of wanted_at on article_index
    deferrable initially deferred for each row execute function article_index_send();

-- The safety net below the messages: one for each organization of which something has been due for so long. Returns how
-- many. A message may be discarded by hand or die with a database that was away for hours; the rows remember.
create function send_overdue_indexing(due_for interval) returns integer
    language sql security definer set search_path = public as $$
        select count(pgbroker.enqueue('index_articles', args => jsonb_build_array(overdue.organization_id),
                   queue => 'kb', unique_key => 'index_articles:' || overdue.organization_id,
                   tenant => overdue.organization_id::text))
          from (select distinct entry.organization_id
                  from article_index entry join models on models.id = entry.model_id and models.state = 'active'
                 where entry.state = 'pending' and entry.next_try_at <= now() - due_for) as overdue
    $$;

-- Without pgvector there are no vectors to compare or to count; 0005_vectors.sql replaces these two.
create function chunk_similarities(organization uuid, model smallint, question text)
    returns table (chunk_sha bytea, similarity double precision)
    language sql stable parallel safe
    as $$ select null::bytea, null::double precision where false $$;

create function chunk_shas_with_vectors(organization uuid, model smallint) returns table (chunk_sha bytea)
    language sql stable parallel safe
    as $$ select null::bytea where false $$;
