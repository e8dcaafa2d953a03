-- The newest labelled tickets that have a vector, as one row: ids, beginnings of their texts, categories, priorities and tags
-- that a person may have given (null where triage did), and all vectors one after the other, so that 5,000 cross the wire as
-- one value. Called by desk.tickets.examples; index: tickets_labelled, then primary keys.
select array_agg(t.id::text order by t.id), array_agg(t.beginning order by t.id),
       array_agg(t.category order by t.id),
       array_agg(case when by_triage then null else t.priority end order by t.id),
       jsonb_agg(case when by_triage then '[]' else to_jsonb(t.tags) end order by t.id),
       string_agg(e.vector, ''::bytea order by t.id)
  from (select id, left(subject || e'\n\n' || body, %(longest)s) as beginning, category, priority, tags, revision,
               exists (select from triage_results r
                        where r.organization_id = %(organization_id)s and r.ticket_id = tickets.id
                          and r.outcome = 'applied') as by_triage
          from tickets
         where organization_id = %(organization_id)s and category_by = 'person'
         order by created_at desc
         limit %(newest)s) t
  join ticket_embeddings e on e.organization_id = %(organization_id)s and e.ticket_id = t.id
                          and e.model = %(model)s and e.revision = t.revision
