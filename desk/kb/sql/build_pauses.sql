-- How a model beside the active one stands: its state, whether it is to be activated, seconds until what failed is tried again
-- (less than 0: now; null: nothing is) and how many texts failed for good. No row: it was cancelled.
-- Called by desk.kb.building; served by the primary keys.
select build.state, build.activates,
       (select extract(epoch from min(failure.next_try_at) - now())::float8
          from embedding_failures as failure
         where failure.organization_id = build.organization_id and failure.model_id = build.model_id
           and failure.attempts < %(most)s) as pause,
       (select count(*) from embedding_failures as failure
         where failure.organization_id = build.organization_id and failure.model_id = build.model_id
           and failure.attempts >= %(most)s) as dead
  from model_builds as build
 where build.organization_id = %(organization_id)s and build.model_id = %(model_id)s
