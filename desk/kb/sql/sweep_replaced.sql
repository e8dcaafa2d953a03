-- Vectors, of every model, and failures of chunks that an article no longer has, unless another chunk has the same text.
-- Called by desk.kb.store within the swap, under the organization's lock; served by chunks_by_sha and the primary keys.
with gone as (
    select replaced.chunk_sha
      from unnest(%(shas)s::bytea[]) as replaced (chunk_sha)
     where not exists (select from chunks as chunk
                        where chunk.organization_id = %(organization_id)s and chunk.chunk_sha = replaced.chunk_sha)
), failures as (
    delete from embedding_failures where organization_id = %(organization_id)s and chunk_sha in (select chunk_sha from gone)
)
delete from embeddings where organization_id = %(organization_id)s and chunk_sha in (select chunk_sha from gone)
