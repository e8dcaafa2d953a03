-- The newest labelled tickets that have a vector, as one row, oldest first: ids, texts in two parts, and the categories,
-- priorities, tags and intents that a person gave (null where a job did, and of a retired category), and all vectors one after
-- the other, so that 10,000 cross the wire as one value. Called by desk.tickets.triage.labelled; index: tickets_by_label, then primary keys.
with newest as (
    select id, subject, body, category, category_by, priority, priority_by, tags, tags_by, intent, revision, created_at,
           exists (select from triage_results r
                    where r.organization_id = %(organization_id)s and r.ticket_id = tickets.id
                      and r.outcome = 'applied') as by_triage,
           exists (select from triage_categories c
                    where c.organization_id = %(organization_id)s and c.name = tickets.category and c.retired) as retired
      from tickets
     where organization_id = %(organization_id)s and labelled_at is not null
     order by labelled_at desc
     limit %(newest)s
)
select array_agg(t.id::text order by t.created_at, t.id),
       array_agg(t.subject order by t.created_at, t.id),
       array_agg(left(t.body, %(longest)s) order by t.created_at, t.id),
       array_agg(case when t.category_by = 'person' and not t.retired then t.category end order by t.created_at, t.id),
       array_agg(case when t.priority_by = 'person'
                        or t.priority_by is null and t.category_by = 'person' and not t.by_triage then t.priority end
                 order by t.created_at, t.id),
       jsonb_agg(case when t.tags_by is distinct from 'triage' then to_jsonb(t.tags) end order by t.created_at, t.id),
       array_agg(t.intent order by t.created_at, t.id),
       string_agg(e.vector, ''::bytea order by t.created_at, t.id)
  from newest t
  join ticket_embeddings e on e.organization_id = %(organization_id)s and e.ticket_id = t.id
                          and e.model = %(model)s and e.revision = t.revision
