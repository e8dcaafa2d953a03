-- One ticket as the jobs see it. Called by desk.tickets.store.get; index: unique (organization_id, id).
select id, organization_id, subject, body, status, priority, category, category_by, tags, intent, language, requester, assignee,
       revision, created_at, clock_timestamp() as read_at
  from tickets
 where organization_id = %(organization_id)s and id = %(ticket_id)s
