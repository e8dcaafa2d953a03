-- What people say now of tickets that were evidence; null where they say nothing (any more). Called by desk.tickets.results.keep_triage;
-- index: unique (organization_id, id).
select id::text, case when category_by = 'person' then category end, priority, intent
  from tickets
 where organization_id = %(organization_id)s and id = any(%(ids)s::uuid[])
