-- A language model may word drafts and explain triage, where an organization switches it on. Nothing else of the desk asks it.

alter table organization_settings add column llm text[] not null default '{}'
    check (llm <@ array['draft', 'triage'] and array_position(llm, null) is null);
comment on column organization_settings.llm is
    'What the installation''s language model (ATUM_LLM_URL) may do: draft (word drafts), triage (explain it). Empty: nothing.';

create table triage_explanations (
    organization_id  uuid not null,
    ticket_id        uuid not null,
    revision         integer not null,
    category         text not null,
    second_opinion   text,
    text             text not null check (text <> ''),
    method           text not null,
    created_at       timestamptz not null default now(),
    primary key (organization_id, ticket_id, revision),
    foreign key (organization_id, ticket_id, revision)
        references triage_results (organization_id, ticket_id, revision) on delete cascade
);
call isolate_by_organization('triage_explanations');
comment on column triage_explanations.second_opinion is
    'The category that a language model would give, one of the organization''s; it is shown, never applied. Null: none was asked.';

create function triage_results_send_explanation() returns trigger
    language plpgsql set search_path = public as $$
begin
    if exists (select from organization_settings where organization_id = new.organization_id and 'triage' = any(llm)) then
        perform pgbroker.enqueue('explain_triage', args => jsonb_build_array(new.organization_id, new.ticket_id),
                                 queue => 'tickets', unique_key => 'explain_triage:' || new.ticket_id,
                                 tenant => new.organization_id::text);
    end if;
    return null;
end $$;
create trigger triage_results_send_explanation after insert or update of category, evidence on triage_results
    for each row when (new.category is not null) execute function triage_results_send_explanation();

-- For `atum doctor`: a count over all organizations, never rows.
create function organizations_want_llm() returns bigint
    language sql stable security definer set search_path = public, pg_temp as $$
    select count(*) from organization_settings where llm <> '{}'
$$;
comment on function organizations_want_llm is 'How many organizations let the language model do something.';
