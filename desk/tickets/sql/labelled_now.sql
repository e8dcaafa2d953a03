-- Category, priority and tags of tickets that a person labelled, as they are now. Called by desk.tickets.triage_models when a
-- worker loads a stored model; index: unique (organization_id, id).
select id::text, case when category_by = 'person' then category end, priority, tags
  from tickets
 where organization_id = %(organization_id)s and id = any(%(ids)s::uuid[]) and labelled_at is not null
