-- Models side by side, chosen by each organization. Chunks are no model's: what search reads as text stays where it is while
-- another model's vectors are made beside the active one's.
--
-- An organization's models in use are the active one and those in model_builds; an edit is embedded for all of them, so that
-- switching and going back are one update each of organization_settings.embed_model_id.

alter table models add unique (id, dimensions);
comment on column models.state is 'active: the model of every organization that has chosen none. The others are chosen or not.';

alter table organization_settings add column embed_model_id smallint references models;
comment on column organization_settings.embed_model_id is
    'The model whose vectors search reads; null: the installation''s. A trigger refuses one whose vectors are not complete.';

create table model_builds (
    organization_id  uuid not null references organizations on delete cascade,
    model_id         smallint not null references models,
    state            text not null default 'building' check (state in ('building', 'held', 'kept')),
    activates        boolean not null default true,
    started_at       timestamptz not null default now(),
    ended_at         timestamptz,
    note             text,
    quality          jsonb,
    primary key (organization_id, model_id)
);
call isolate_by_organization('model_builds');
comment on table model_builds is 'Models beside the active one whose vectors an organization has made for every chunk.';
comment on column model_builds.state is
    'building: vectors are missing. held: complete, but search was worse with it. kept: complete, ready to be switched to.';
comment on column model_builds.ended_at is 'When it became complete, or was switched away from.';
comment on column model_builds.quality is 'Figures of the organization''s questions, with this model and with the active one.';

-- A text that a model beside the active one fails on: it is tried again after a pause, five times.
create table embedding_failures (
    organization_id  uuid not null references organizations on delete cascade,
    model_id         smallint not null references models,
    chunk_sha        bytea not null,
    attempts         integer not null default 1,
    next_try_at      timestamptz not null,
    last_error       text not null,
    primary key (organization_id, model_id, chunk_sha)
);
call isolate_by_organization('embedding_failures');

-- Questions of an organization's own with judged articles: another model must answer them as well as the active one.
create table search_questions (
    organization_id  uuid not null references organizations on delete cascade,
    question_id      text not null check (question_id <> ''),
    text             text not null check (btrim(text) <> ''),
    answerable       boolean not null,
    grades           jsonb not null default '{}',
    primary key (organization_id, question_id)
);
call isolate_by_organization('search_questions');
comment on column search_questions.grades is 'Grade by the article''s external_id: 1 helps, 2 and more answers it.';

-- One row per article, for all models: its chunks and its vectors of each of them are brought up to date together.
delete from article_index i using models m where m.id = i.model_id and m.state <> 'active';
alter table article_index drop column model_id;
alter table article_index add primary key (organization_id, article_id);
create index article_index_due on article_index (organization_id, next_try_at) where state = 'pending';

create or replace function articles_mark_stale() returns trigger
    language plpgsql set search_path = public as $$
begin
    insert into article_index (organization_id, article_id, wanted_revision)
    select changed.organization_id, changed.id, changed.revision
      from changed
    on conflict (organization_id, article_id) do update
       set wanted_revision = excluded.wanted_revision, state = 'pending', attempts = 0, last_error = null,
           wanted_at = now(),
           -- Who has it keeps it, and goes on with the new text and the vectors of what did not change.
           next_try_at = case when article_index.taken_by is null then now() else article_index.next_try_at end
     where article_index.wanted_revision <> excluded.wanted_revision;
    return null;
end $$;

create or replace function send_overdue_indexing(due_for interval) returns integer
    language sql security definer set search_path = public as $$
        select count(pgbroker.enqueue('index_articles', args => jsonb_build_array(overdue.organization_id),
                   queue => 'kb', unique_key => 'index_articles:' || overdue.organization_id,
                   tenant => overdue.organization_id::text))
          from (select distinct entry.organization_id
                  from article_index entry
                 where entry.state = 'pending' and entry.next_try_at <= now() - due_for) as overdue
    $$;

-- The active model of the organization that this transaction works for: on trial in it (app.embed_model_id), else chosen, else
-- the installation's, which is what a worker is configured with while no organization has vectors of another. The caller
-- compares. No row: the installation's is to be registered, and the caller did not say how many numbers its vectors have.
create or replace function active_model(wanted text, wanted_dimensions integer) returns table (id smallint, name text)
    language plpgsql security definer set search_path = public as $$
declare
    active models;
    chosen smallint := coalesce(
        nullif(current_setting('app.embed_model_id', true), '')::smallint,
        (select s.embed_model_id from organization_settings s where s.organization_id = current_organization()));
begin
    if chosen is not null then
        return query select m.id, m.name from models m where m.id = chosen;
        return;
    end if;
    select * into active from models where state = 'active';
    if active.name = wanted then
        return query select active.id, active.name;
        return;
    end if;
    perform from models where state = 'active' for update;
    if exists (select from article_index i join organization_settings s on s.organization_id = i.organization_id
                where i.done_revision is not null and s.embed_model_id is null) then
        return query select active.id, active.name;
        return;
    end if;
    if wanted_dimensions is null and not exists (select from models m where m.name = wanted) then
        return;
    end if;
    update models set state = 'retired' where state = 'active';
    insert into models as m (name, dimensions, state) values (wanted, wanted_dimensions, 'active')
    on conflict on constraint models_name_key do update set state = 'active' returning m.id into chosen;
    return query select chosen, wanted;
end $$;

-- Which model an organization's search reads: what active_model says, for SQL, which knows no configuration.
create function chosen_model(organization uuid) returns smallint
    language sql stable security definer set search_path = public
    as $$ select coalesce((select embed_model_id from organization_settings where organization_id = organization),
                          (select id from models where state = 'active')) $$;

-- How many distinct chunks of an organization lack a vector of a model. 0041 replaces it where there is pgvector.
create function vectors_missing(organization uuid, model smallint) returns bigint
    language sql stable security definer set search_path = public
    as $$ select count(distinct chunk_sha) from chunks where organization_id = organization $$;

-- Swaps of articles, switches of models and their ends follow each other within an organization: no vector that one counts on
-- is swept by another, and a switch sees every vector or none of an edit.
create function lock_vectors(organization uuid) returns void
    language sql as $$ select pg_advisory_xact_lock(hashtextextended('desk.kb:' || organization, 0)) $$;

create function settings_switch_model() returns trigger
    language plpgsql security definer set search_path = public as $$
declare
    before smallint := coalesce(old.embed_model_id, (select id from models where state = 'active'));
    after_ smallint := coalesce(new.embed_model_id, (select id from models where state = 'active'));
    missing bigint;
begin
    if before = after_ then
        return new;
    end if;
    perform lock_vectors(new.organization_id);
    missing := vectors_missing(new.organization_id, after_);
    if missing > 0 then
        raise exception '% chunks have no vector of the model % yet',
            missing, (select name from models where id = after_) using errcode = 'object_not_in_prerequisite_state';
    end if;
    delete from model_builds where organization_id = new.organization_id and model_id = after_;
    insert into model_builds (organization_id, model_id, state, activates, ended_at)
    values (new.organization_id, before, 'kept', false, now())
    on conflict (organization_id, model_id) do update set state = 'kept', activates = false, ended_at = now();
    return new;
end $$;
create trigger settings_switch_model before update of embed_model_id on organization_settings
    for each row execute function settings_switch_model();

create or replace function desk_figures(
    out articles_indexed           bigint,
    out articles_pending           bigint,
    out articles_dead              bigint,
    out oldest_pending_age_seconds double precision,
    out sweep_late_seconds         double precision
)
    language sql stable security definer set search_path = public, pg_temp as $$
    select count(*) filter (where i.state = 'ok'),
           count(*) filter (where i.state = 'pending'),
           count(*) filter (where i.state = 'dead'),
           coalesce(extract(epoch from now() - min(i.wanted_at) filter (where i.state = 'pending')), 0)::float8,
           -- One look into sla_clocks_next_event per organization, however many clocks are open.
           (select coalesce(greatest(extract(epoch from now() - min(due.next_event_at)), 0), 0)::float8
              from organizations o
             cross join lateral (select min(c.next_event_at) as next_event_at
                                   from sla_clocks c where c.organization_id = o.id) due)
      from article_index i
$$;
