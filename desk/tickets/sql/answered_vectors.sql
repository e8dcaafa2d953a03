-- As new_vectors, of tickets with an answer that helped: read since the answer was kept. Called by desk.tickets.problem_vectors;
-- index: ticket_resolutions_by_age.
select problem.ticket_id, problem.revision, problem.vector, answer.created_at
  from ticket_resolutions as answer
  join ticket_embeddings as problem
    on problem.organization_id = answer.organization_id and problem.ticket_id = answer.ticket_id and problem.model = answer.model
 where answer.organization_id = %(organization_id)s and answer.model = %(model)s and length(problem.vector) = %(bytes)s
   and answer.created_at >= coalesce(%(since)s::timestamptz - %(overlap)s * interval '1 second', '-infinity')
   and (problem.ticket_id, problem.revision) not in
       (select * from unnest(%(known_ids)s::uuid[], %(known_revisions)s::integer[]))
 order by answer.created_at desc
 limit %(newest)s
