-- Category, priority, tags and intent of tickets that a person labelled, as they are now. Called by desk.tickets.triage.triage_models when a
-- worker loads a stored model; index: unique (organization_id, id).
select id::text, case when category_by = 'person' then category end, priority,
       case when tags_by is distinct from 'triage' then tags else '{}' end, intent
  from tickets
 where organization_id = %(organization_id)s and id = any(%(ids)s::uuid[]) and labelled_at is not null
