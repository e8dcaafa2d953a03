-- The next articles, by id, of which a chunk has no vector of a model: their text and those chunks. Chunks that failed wait for
-- the end of their pause; an article that was edited since is left to the indexing, which embeds it for every model.
-- Called by desk.kb.building; served by the primary keys of chunks, articles and embeddings.
select article.id, article.title, article.body_md, array_agg(distinct chunk.chunk_sha) as shas
  from chunks as chunk
  join articles as article on article.organization_id = chunk.organization_id and article.id = chunk.article_id
 where chunk.organization_id = %(organization_id)s
   and chunk.article_id > %(after)s
   and chunk.article_revision = article.revision
   and not exists (select from embeddings as vector
                    where vector.organization_id = %(organization_id)s
                      and vector.model_id = %(model_id)s
                      and vector.chunk_sha = chunk.chunk_sha)
   and not exists (select from embedding_failures as failure
                    where failure.organization_id = %(organization_id)s
                      and failure.model_id = %(model_id)s
                      and failure.chunk_sha = chunk.chunk_sha
                      and (failure.attempts >= %(most)s or failure.next_try_at > now()))
 group by article.id, article.title, article.body_md
 order by article.id
 limit %(batch)s
