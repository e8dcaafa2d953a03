-- The last public reply of each of these tickets that is resolved now, with the names of everybody on the ticket, where the
-- organization lets tickets be quoted. Called by desk.tickets.offers.replies; served by primary keys and ticket_messages_of_ticket.
select ticket.id, reply.id, reply.body,
       array_remove(array[ticket.requester, ticket.assignee] || array(
           select distinct message.author from ticket_messages as message
            where message.organization_id = %(organization_id)s and message.ticket_id = ticket.id), null) as names
  from tickets as ticket
  join organization_settings as wanted
    on wanted.organization_id = ticket.organization_id and wanted.answers_from_tickets
 cross join lateral (select message.id, message.body
                       from ticket_messages as message
                      where message.organization_id = %(organization_id)s and message.ticket_id = ticket.id
                        and message.author_kind = 'agent' and message.is_public and btrim(message.body) <> ''
                      order by message.created_at desc, message.seq desc
                      limit 1) as reply
 where ticket.organization_id = %(organization_id)s and ticket.id = any(%(ids)s)
   and ticket.status in ('resolved', 'closed')
