-- What an organization's categories mean, in its own words: with no labelled ticket the nearest description answers.

create table triage_categories (
    organization_id  uuid not null references organizations on delete cascade,
    name             text not null check (name = btrim(name) and name <> ''),
    description      text not null default '',
    examples         text[] not null default '{}',
    retired          boolean not null default false,
    embed_model      text,
    vectors          bytea,
    set_at           timestamptz not null default now(),
    primary key (organization_id, name),
    check ((embed_model is null) = (vectors is null))
);
call isolate_by_organization('triage_categories');
comment on table triage_categories is
    'Categories that need no row are those of labelled tickets; a row describes one, or retires it.';
comment on column triage_categories.examples is 'Phrases as customers write them.';
comment on column triage_categories.retired is 'Never answered any more, and not learnt from, however many tickets have it.';
comment on column triage_categories.vectors is
    'Of the description and of each example, one after the other, as ticket_embeddings has them; null: not made yet.';
