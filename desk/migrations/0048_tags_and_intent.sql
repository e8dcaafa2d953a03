-- Who set a ticket's tags and its intent: what people set is learnt, what triage set is not.

alter table tickets
    add column tags_by    text check (tags_by in ('person', 'triage')),
    add column intent     text,
    add column intent_by  text check (intent_by = 'person'),
    add constraint tickets_intent_by_somebody check ((intent is null) = (intent_by is null));
comment on column tickets.tags_by is
    'Who set the tags last; triage: it added some. Null: they came with the ticket, and nobody has labelled it.';
comment on column tickets.intent is 'What a person says that the ticket wants; what triage read is in triage_results.';

-- What there was before this column: tags of tickets that triage has set are of both, and taught nothing before either.
alter table tickets disable trigger user;
update tickets t
   set tags_by = case when exists (select from triage_results r
                                    where r.organization_id = t.organization_id and r.ticket_id = t.id
                                      and r.outcome = 'applied' and r.tags <> '[]')
                      then 'triage' else 'person' end
 where labelled_at is not null and tags <> '{}';
update tickets t
   set tags_by = 'triage'
 where labelled_at is null and tags <> '{}' and category_by = 'triage';
alter table tickets enable trigger user;

create index tickets_by_tag_label on tickets (organization_id, labelled_at) where tags_by = 'person';
create index tickets_by_intent_label on tickets (organization_id, labelled_at) where intent_by = 'person';

create or replace function tickets_note_label() returns trigger
    language plpgsql set search_path = public as $$
begin
    if 'person' not in (coalesce(new.category_by, ''), coalesce(new.priority_by, ''), coalesce(new.tags_by, ''),
                        coalesce(new.intent_by, '')) then
        new.labelled_at := null;
        return new;
    end if;
    -- Whoever labelled a ticket has seen the tags that it came with, and left them.
    if new.tags_by is null and new.tags <> '{}' then
        new.tags_by := 'person';
    end if;
    if tg_op = 'INSERT'
       or (new.category, new.category_by, new.priority, new.priority_by, new.tags, new.tags_by, new.intent, new.intent_by)
          is distinct from
          (old.category, old.category_by, old.priority, old.priority_by, old.tags, old.tags_by, old.intent, old.intent_by) then
        new.labelled_at := clock_timestamp();
    end if;
    return new;
end $$;
create or replace trigger tickets_note_label before insert or update on tickets
    for each row
    when (new.category_by = 'person' or new.priority_by = 'person' or new.tags_by = 'person' or new.intent_by = 'person'
          or new.labelled_at is not null)
    execute function tickets_note_label();

alter table triage_models drop constraint triage_models_what_check;
alter table triage_models add constraint triage_models_what_check check (what in ('category', 'priority', 'tags', 'intent'));
comment on column triage_models.figures is
    'On tickets that neither it nor the one compared learnt from: held_back, calibration_error, and accuracy and macro_f1, or of tags micro_f1, precision and recall.';

alter table triage_feedback drop constraint triage_feedback_what_check;
alter table triage_feedback add constraint triage_feedback_what_check check (what in ('category', 'priority', 'tags', 'intent'));

create function triage_labels_wanted(question text) returns integer language sql immutable parallel safe
    return case question when 'tags' then 50 when 'intent' then 100 else triage_labels_wanted() end;
comment on function triage_labels_wanted(text) is
    'From so many labels on a model is stored: tickets with tags for tags, with an intent for intents.';

create or replace function triage_learning_due(organization uuid, question text) returns boolean
    language sql stable set search_path = public as $$
    with last as (
        select labels, newest_label
          from triage_models
         where organization_id = organization and what = question and state <> 'building'
         order by version desc
         limit 1
    ), wanted as (
        select coalesce((select greatest(20, labels / 20) from last), triage_labels_wanted(question)) as labels,
               coalesce((select newest_label from last), '-infinity') as since
    ), enough as (
        (select 1 from tickets
          where question in ('category', 'priority') and organization_id = organization
            and labelled_at is not null and labelled_at > (select since from wanted)
            and (category_by = 'person' or priority_by = 'person')
          limit (select labels from wanted))
        union all
        (select 1 from tickets
          where question = 'tags' and organization_id = organization
            and tags_by = 'person' and labelled_at > (select since from wanted)
          limit (select labels from wanted))
        union all
        (select 1 from tickets
          where question = 'intent' and organization_id = organization
            and intent_by = 'person' and labelled_at > (select since from wanted)
          limit (select labels from wanted))
    )
    select (select count(*) from enough) = (select labels from wanted)
$$;
comment on function triage_learning_due is
    'Whether enough labels came since the last version. Served by tickets_by_label, tickets_by_tag_label, tickets_by_intent_label and the primary key of triage_models.';

create or replace function tickets_send_retraining() returns trigger
    language plpgsql set search_path = public as $$
begin
    -- Ten thousand imported labels are one look.
    if current_setting('app.labels_looked_at', true) = new.organization_id::text then
        return null;
    end if;
    perform set_config('app.labels_looked_at', new.organization_id::text, true);
    if exists (select from organization_settings where organization_id = new.organization_id and triage)
       and exists (select from unnest(array['category', 'priority', 'tags', 'intent']) question
                    where triage_learning_due(new.organization_id, question)) then
        perform send_retraining(new.organization_id);
    end if;
    return null;
end $$;

create function send_retraining(organization uuid) returns void
    language plpgsql set search_path = public as $$
begin
    perform pgbroker.enqueue('retrain_triage', args => jsonb_build_array(organization), queue => 'tickets',
                             priority => 100, unique_key => 'retrain_triage:' || organization, tenant => organization::text);
end $$;
comment on function send_retraining is 'One message to learn anew, behind all others, unless one waits already.';

create or replace function tickets_keep_feedback() returns trigger
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
            select 'intent', proposal.intent, proposal.intent_confidence, new.intent
             where new.intent_by = 'person'
               and (new.intent, new.intent_by) is distinct from (old.intent, old.intent_by)
            union all
            select 'tags',
                   (select nullif(string_agg(tag, ',' order by tag), '')
                      from (select t ->> 'tag' as tag from jsonb_array_elements(proposal.tags) t) tags),
                   null, (select coalesce(string_agg(tag, ',' order by tag), '') from unnest(new.tags) tag)
             where new.tags_by = 'person'
               and (new.tags is distinct from old.tags or old.tags_by = 'triage')) given
        on conflict (organization_id, ticket_id, what) do update
       set (chosen, verdict, at) =
           (excluded.chosen,
            case when triage_feedback.proposed is null then 'unanswered'
                 when triage_feedback.proposed = excluded.chosen then 'accepted' else 'corrected' end, now());
    return null;
end $$;
create or replace trigger tickets_keep_feedback
    after update of category, category_by, priority, priority_by, tags, tags_by, intent, intent_by on tickets
    for each row when (new.labelled_at is distinct from old.labelled_at) execute function tickets_keep_feedback();
