-- The newest public messages of a ticket's customer. Called by desk.tickets.jobs; index: ticket_messages_of_ticket.
select seq, body
  from ticket_messages
 where organization_id = %(organization_id)s and ticket_id = %(ticket_id)s and author_kind = 'customer' and is_public
 order by created_at desc, seq desc
 limit 5
