-- What triage has learnt, stored: versions of one model per organization and question, of which one at most is active.
--
-- A label is what a person set: category, priority or tags of a ticket. labelled_at says when, so that new labels are counted
-- without reading the old ones.

alter table tickets
    add column priority_by  text check (priority_by in ('person', 'triage', 'escalation')),
    add column labelled_at  timestamptz;
comment on column tickets.priority_by is
    'Who set the priority last, where that is known. Null: it came with the ticket, or nobody said.';
comment on column tickets.labelled_at is 'When a person last set category, priority or tags. Null: nobody did.';

-- History that came in before there was this column was labelled when it was made, as far as anybody can tell.
alter table tickets disable trigger user;
update tickets set labelled_at = created_at where category_by = 'person';
alter table tickets enable trigger user;

create index tickets_by_label on tickets (organization_id, labelled_at) where labelled_at is not null;
-- Whether people still use a category.
create index tickets_labelled_category on tickets (organization_id, category) where category_by = 'person';

create function tickets_note_label() returns trigger
    language plpgsql set search_path = public as $$
begin
    if new.category_by is distinct from 'person' and new.priority_by is distinct from 'person' then
        new.labelled_at := null;
    elsif tg_op = 'INSERT'
       or (new.category, new.category_by, new.priority, new.priority_by, new.tags)
          is distinct from (old.category, old.category_by, old.priority, old.priority_by, old.tags) then
        new.labelled_at := clock_timestamp();
    end if;
    return new;
end $$;
create trigger tickets_note_label before insert or update on tickets
    for each row
    when (new.category_by = 'person' or new.priority_by = 'person' or new.labelled_at is not null)
    execute function tickets_note_label();

create table triage_models (
    organization_id   uuid not null references organizations on delete cascade,
    what              text not null check (what in ('category', 'priority', 'tags')),
    version           integer not null check (version > 0),
    state             text not null check (state in ('building', 'active', 'retired', 'rejected')),
    embed_model       text not null,
    format            integer not null,
    begun_at          timestamptz not null default now(),
    fitted_at         timestamptz,
    labels            integer not null default 0 check (labels >= 0),
    newest_label      timestamptz,
    ticket_ids        uuid[] not null default '{}',
    model             bytea,
    figures           jsonb check (jsonb_typeof(figures) = 'object'),
    compared_version  integer,
    compared_figures  jsonb check (jsonb_typeof(compared_figures) = 'object'),
    reason            text,
    primary key (organization_id, what, version),
    check (state = 'building' or fitted_at is not null),
    check (state not in ('active', 'retired') or model is not null)
);
alter table triage_models alter column model set storage external;  -- numbers that do not compress
create unique index triage_models_active on triage_models (organization_id, what) where state = 'active';
call isolate_by_organization('triage_models');
comment on table triage_models is
    'building: being fitted, or its worker was killed. rejected: not as good as the one that was active. retired: was active.';
comment on column triage_models.format is 'Of the bytes: a release reads its own alone, and learns anew where they are of another.';
comment on column triage_models.labels is 'How many labelled tickets there were, those held back to judge by included.';
comment on column triage_models.newest_label is 'The latest label among them; what came later is new.';
comment on column triage_models.ticket_ids is 'What it learnt from, in the order that the model counts in.';
comment on column triage_models.figures is
    '{"held_back", "accuracy", "macro_f1", "calibration_error"} on tickets that neither it nor the one compared learnt from.';

alter table triage_results add column model_version integer;
comment on column triage_results.model_version is 'Version of the stored model that chose the category; null: none was stored.';

-- From this many labels on a model is stored, and learnt again when a twentieth as many came, twenty at the least. A version
-- that was rejected counts as learnt: its labels are no news.
create function triage_labels_wanted() returns integer language sql immutable parallel safe return 200;

create function triage_learning_due(organization uuid, question text) returns boolean
    language sql stable set search_path = public as $$
    with last as (
        select labels, newest_label
          from triage_models
         where organization_id = organization and what = question and state <> 'building'
         order by version desc
         limit 1
    ), wanted as (
        select coalesce((select greatest(20, labels / 20) from last), triage_labels_wanted()) as labels
    )
    select (select count(*)
              from (select from tickets
                     where organization_id = organization and labelled_at is not null
                       and labelled_at > coalesce((select newest_label from last), '-infinity')
                     limit (select labels from wanted)) enough) = (select labels from wanted)
$$;
comment on function triage_learning_due is
    'Whether enough labels came since the last version. Served by tickets_by_label and the primary key of triage_models.';

create function tickets_send_retraining() returns trigger
    language plpgsql set search_path = public as $$
begin
    -- Ten thousand imported labels are one look.
    if current_setting('app.labels_looked_at', true) = new.organization_id::text then
        return null;
    end if;
    perform set_config('app.labels_looked_at', new.organization_id::text, true);
    if exists (select from organization_settings where organization_id = new.organization_id and triage)
       and exists (select from unnest(array['category', 'priority']) question
                    where triage_learning_due(new.organization_id, question)) then
        perform pgbroker.enqueue('retrain_triage', args => jsonb_build_array(new.organization_id), queue => 'tickets',
                                 priority => 100, unique_key => 'retrain_triage:' || new.organization_id,
                                 tenant => new.organization_id::text);
    end if;
    return null;
end $$;
-- At the end of the transaction: it sees all labels of it, and never waits for another's message while it holds rows.
create constraint trigger tickets_send_retraining after insert on tickets
    deferrable initially deferred for each row when (new.labelled_at is not null)
    execute function tickets_send_retraining();
create constraint trigger tickets_send_retraining_again after update on tickets
    deferrable initially deferred for each row when (new.labelled_at is distinct from old.labelled_at)
    execute function tickets_send_retraining();

-- What is new among the vectors: a process that keeps them reads the rest but once.
create index ticket_embeddings_by_age on ticket_embeddings (organization_id, model, created_at);
