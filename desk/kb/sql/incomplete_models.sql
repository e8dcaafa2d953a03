-- Models beside the active one that lack a vector which can be made (not one that failed for good), or that are complete and
-- were not told so. Called by desk.kb.builds; reads the organization's chunks (chunks_by_sha) and vectors (primary key).
select build.model_id
  from model_builds as build
 where build.organization_id = %(organization_id)s
   and (exists (select from chunks as chunk
                 where chunk.organization_id = %(organization_id)s
                   and not exists (select from embeddings as vector
                                    where vector.organization_id = %(organization_id)s
                                      and vector.model_id = build.model_id
                                      and vector.chunk_sha = chunk.chunk_sha)
                   and not exists (select from embedding_failures as failure
                                    where failure.organization_id = %(organization_id)s
                                      and failure.model_id = build.model_id
                                      and failure.chunk_sha = chunk.chunk_sha
                                      and failure.attempts >= %(most)s))
        or build.state = 'building' and vectors_missing(%(organization_id)s, build.model_id) = 0)
 order by build.model_id
