-- Which tags these tickets carry by a person's choice. Called by desk.tickets.results.keep_triage; index: unique
-- (organization_id, id).
select id::text, tags
  from tickets
 where organization_id = %(organization_id)s and id = any(%(ids)s::uuid[]) and tags_by = 'person'
