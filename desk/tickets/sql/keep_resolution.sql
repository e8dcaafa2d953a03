-- Keep answers with their vectors; of two for the same ticket and model the later answer stays. Called by
-- desk.tickets.similar.index through execute_values. A ticket that was deleted meanwhile is left out.
insert into ticket_resolutions (organization_id, ticket_id, model, message_seq, text, vector)
select given.organization_id, given.ticket_id, given.model, given.message_seq, given.text, given.vector
  from (values %s) given (organization_id, ticket_id, model, message_seq, text, vector)
  join tickets on tickets.organization_id = given.organization_id and tickets.id = given.ticket_id
    on conflict (organization_id, ticket_id, model) do update
   set message_seq = excluded.message_seq, text = excluded.text, vector = excluded.vector, created_at = now()
