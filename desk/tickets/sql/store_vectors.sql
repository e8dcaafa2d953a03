-- Keep vectors; of two for the same ticket and model the newer revision stays. Called by desk.tickets.vectors through
-- execute_values. A ticket that was deleted meanwhile is left out.
insert into ticket_embeddings (organization_id, ticket_id, model, revision, vector)
select v.organization_id, v.ticket_id, v.model, v.revision, v.vector
  from (values %s) v (organization_id, ticket_id, model, revision, vector)
  join tickets t on t.organization_id = v.organization_id and t.id = v.ticket_id
    on conflict (organization_id, ticket_id, model) do update
   set revision = excluded.revision, vector = excluded.vector, created_at = now()
 where ticket_embeddings.revision < excluded.revision
