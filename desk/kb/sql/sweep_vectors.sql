-- Remove vectors of no chunk and of models that the organization does not use. Called by desk.kb.reconciling, under the
-- organization's lock; served by the primary key of embeddings and by chunks_by_sha.
delete from embeddings as vector
 where vector.organization_id = %(organization_id)s
   and (not exists (select from chunks as chunk
                     where chunk.organization_id = %(organization_id)s and chunk.chunk_sha = vector.chunk_sha)
        or vector.model_id <> %(model_id)s
           and not exists (select from model_builds as build
                            where build.organization_id = %(organization_id)s and build.model_id = vector.model_id))
