-- What triage proposed and what a person chose: how good triage is, measured on the organization's own tickets.

alter table organization_settings
    add column suggest_from double precision not null default 0.4 check (suggest_from between 0 and 1);
comment on column organization_settings.suggest_from is
    'Confidence from which triage suggests a category; below, it abstains. Applying has a threshold of its own.';

create table triage_feedback (
    organization_id  uuid not null,
    ticket_id        uuid not null,
    what             text not null check (what in ('category', 'priority', 'tags')),
    revision         integer not null,
    outcome          text not null check (outcome in ('applied', 'suggested', 'abstained')),
    proposed         text,
    confidence       double precision check (confidence between 0 and 1),
    model_version    integer,
    chosen           text not null,
    verdict          text not null check (verdict in ('accepted', 'corrected', 'unanswered')),
    at               timestamptz not null default now(),
    primary key (organization_id, ticket_id, what),
    foreign key (organization_id, ticket_id) references tickets (organization_id, id) on delete cascade,
    check ((verdict = 'unanswered') = (proposed is null))
);
create index triage_feedback_by_age on triage_feedback (organization_id, at);
call isolate_by_organization('triage_feedback');
comment on table triage_feedback is
    'One row per ticket and question: what the last triage before the person''s choice proposed, and the last choice.';
comment on column triage_feedback.verdict is 'unanswered: triage had abstained, or said nothing of it.';
comment on column triage_feedback.proposed is 'Tags: all of them, sorted, separated by commas.';

-- Whoever writes the ticket. A later choice replaces an earlier one; what was proposed stays what it was before the first.
create function tickets_keep_feedback() returns trigger
    language plpgsql set search_path = public as $$
declare
    proposal triage_results;
begin
    select * into proposal
      from triage_results
     where organization_id = new.organization_id and ticket_id = new.id
     order by revision desc
     limit 1;
    if not found then
        return null;
    end if;
    insert into triage_feedback (organization_id, ticket_id, what, revision, outcome, proposed, confidence, model_version, chosen,
                                 verdict)
    select new.organization_id, new.id, given.what, proposal.revision,
           case when given.proposed is null then 'abstained' when given.what = 'category' then proposal.outcome
                else 'suggested' end,
           given.proposed, given.confidence, case when given.what = 'category' then proposal.model_version end, given.chosen,
           case when given.proposed is null then 'unanswered' when given.proposed = given.chosen then 'accepted'
                else 'corrected' end
      from (select 'category' as what, proposal.category as proposed, proposal.category_confidence as confidence,
                   new.category as chosen
             where new.category_by = 'person'
               and (new.category, new.category_by) is distinct from (old.category, old.category_by)
            union all
            select 'priority', proposal.priority, proposal.priority_confidence, new.priority
             where new.priority_by = 'person'
               and (new.priority, new.priority_by) is distinct from (old.priority, old.priority_by)
            union all
            select 'tags',
                   (select nullif(string_agg(tag, ',' order by tag), '')
                      from (select t ->> 'tag' as tag from jsonb_array_elements(proposal.tags) t) tags),
                   null, (select coalesce(string_agg(tag, ',' order by tag), '') from unnest(new.tags) tag)
             where new.category_by = 'person' and new.tags is distinct from old.tags) given
        on conflict (organization_id, ticket_id, what) do update
       set (chosen, verdict, at) =
           (excluded.chosen,
            case when triage_feedback.proposed is null then 'unanswered'
                 when triage_feedback.proposed = excluded.chosen then 'accepted' else 'corrected' end, now());
    return null;
end $$;
create trigger tickets_keep_feedback after update of category, category_by, priority, priority_by, tags on tickets
    for each row when (new.labelled_at is distinct from old.labelled_at) execute function tickets_keep_feedback();

-- For /metrics: counts over all organizations, never rows. Served by triage_feedback_by_age where there are few of them.
create function triage_figures() returns table (what text, verdict text, band text, answers bigint)
    language sql stable security definer set search_path = public, pg_temp as $$
    select f.what, f.verdict,
           case when f.confidence is null then 'none' when f.confidence < 0.6 then '0.0-0.6'
                when f.confidence < 0.8 then '0.6-0.8' when f.confidence < 0.9 then '0.8-0.9' else '0.9-1.0' end,
           count(*)
      from triage_feedback f
     where f.at > now() - interval '7 days'
     group by 1, 2, 3
$$;
comment on function triage_figures is 'What people made of triage''s answers in the last seven days, by confidence.';
