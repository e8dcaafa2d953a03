-- Vectors of the newest tickets' present texts, resolved ones and others. Called by desk.tickets.similar; indexes:
-- tickets_resolved and tickets_by_status, then the primary key of ticket_embeddings.
with candidates as (
    (select id, revision from tickets
      where organization_id = %(organization_id)s and resolved_at is not null
      order by resolved_at desc limit %(newest)s)
    union all
    (select id, revision from tickets
      where organization_id = %(organization_id)s and resolved_at is null
      order by created_at desc limit %(newest_open)s)
)
select candidates.id, problem.vector
  from candidates
  join ticket_embeddings as problem
    on problem.organization_id = %(organization_id)s and problem.ticket_id = candidates.id
   and problem.model = %(model)s and problem.revision = candidates.revision
 where candidates.id is distinct from %(except)s
