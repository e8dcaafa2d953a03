-- The tickets' vectors that were written since an instant, and some seconds before it; all of them, the newest, where there is
-- none. Those that the process has are left out. Called by desk.tickets.problem_vectors; index: ticket_embeddings_by_age.
select ticket_id, revision, vector, created_at
  from ticket_embeddings
 where organization_id = %(organization_id)s and model = %(model)s and length(vector) = %(bytes)s
   and created_at >= coalesce(%(since)s::timestamptz - %(overlap)s * interval '1 second', '-infinity')
   and (ticket_id, revision) not in (select * from unnest(%(known_ids)s::uuid[], %(known_revisions)s::integer[]))
 order by created_at desc
 limit %(newest)s
