-- One ticket that nobody else changes before this transaction ends. Called by desk.tickets.store.get when a job writes
-- its result; index: unique (organization_id, id).
select id, organization_id, subject, body, status, priority, category, category_by, tags, intent, language, requester, assignee,
       revision, created_at, clock_timestamp() as read_at
  from tickets
 where organization_id = %(organization_id)s and id = %(ticket_id)s
   for no key update
