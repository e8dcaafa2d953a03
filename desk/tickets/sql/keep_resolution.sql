-- Keep answers with their vectors; of two for the same ticket and model the later answer stays. Called by
-- desk.tickets.similar.index through execute_values. An answer that was edited, withdrawn or deleted meanwhile is left out; one that
-- is at the same time waits, and takes this row away (0052). Index: ticket_messages_of_ticket.
insert into ticket_resolutions (organization_id, ticket_id, model, message_seq, text, vector)
select given.organization_id, given.ticket_id, given.model, given.message_seq, given.text, given.vector
  from (values %s) given (organization_id, ticket_id, model, message_seq, text, vector, md5)
  join ticket_messages as message
    on message.organization_id = given.organization_id and message.ticket_id = given.ticket_id
   and message.seq = given.message_seq and message.is_public and message.author_kind = 'agent'
   and md5(message.body) = given.md5
   for share of message
    on conflict (organization_id, ticket_id, model) do update
   set message_seq = excluded.message_seq, text = excluded.text, vector = excluded.vector, created_at = now()
