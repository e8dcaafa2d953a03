-- The hourly look at every knowledge base: what the tables themselves say, kept for the figures of all organizations.

create table kb_checks (
    organization_id  uuid primary key references organizations on delete cascade,
    checked_at       timestamptz not null default now(),
    published        bigint not null,
    searchable       bigint not null,
    chunks           bigint not null,
    vectors          bigint not null,
    repaired         bigint not null,
    swept            bigint not null,
    lag_seconds      double precision not null
);
call isolate_by_organization('kb_checks');
comment on table kb_checks is 'What the last look at a knowledge base counted, and put right.';
comment on column kb_checks.repaired is 'Articles that were marked to be indexed anew: their chunks or vectors were not as they should be.';
comment on column kb_checks.swept is 'Vectors of no chunk, or of a model that the organization does not use.';

alter table model_builds add column replaced_at timestamptz;
comment on column model_builds.replaced_at is 'When another model took its place; a week later it goes.';

create or replace function settings_switch_model() returns trigger
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
    insert into model_builds (organization_id, model_id, state, activates, ended_at, replaced_at)
    values (new.organization_id, before, 'kept', false, now(), now())
    on conflict (organization_id, model_id) do update
       set state = 'kept', activates = false, ended_at = now(), replaced_at = now();
    return new;
end $$;

-- Figures over all organizations, for /metrics: counts and ages, never rows. Reads one row per organization and article_index.
create function kb_figures(
    out published             numeric,
    out searchable            numeric,
    out chunks                numeric,
    out vectors               numeric,
    out repaired              numeric,
    out check_age_seconds     double precision,
    out articles_per_second   double precision
)
    language sql stable security definer set search_path = public, pg_temp as $$
    select coalesce(sum(c.published), 0), coalesce(sum(c.searchable), 0), coalesce(sum(c.chunks), 0),
           coalesce(sum(c.vectors), 0), coalesce(sum(c.repaired), 0),
           extract(epoch from now() - min(c.checked_at))::float8,
           (select count(*) / 300.0 from article_index where done_at > now() - interval '5 minutes')::float8
      from kb_checks c
$$;

-- How many organizations have vectors of which model, in which state, for /metrics.
create function model_figures() returns table (model text, state text, organizations bigint)
    language sql stable security definer set search_path = public, pg_temp as $$
    select m.name, used.state, count(*)
      from (select chosen_model(o.id) as model_id, 'active' as state from organizations o
            union all
            select b.model_id, b.state from model_builds b) used
      join models m on m.id = used.model_id
     group by 1, 2
$$;
