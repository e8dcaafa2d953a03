-- The tickets that were found similar, with what helped. Called by desk.tickets.similar; served by the primary keys.
select ticket.id, ticket.subject, ticket.status, ticket.resolved_at, solution.text, solution.vector, ticket.revision
  from tickets as ticket
  left join ticket_resolutions as solution
    on solution.organization_id = ticket.organization_id and solution.ticket_id = ticket.id and solution.model = %(model)s
 where ticket.organization_id = %(organization_id)s and ticket.id = any(%(ids)s)
   and (ticket.resolved_at is not null or not %(answered_only)s)
