-- The articles that answer a question, best first: one snapshot, so that score and text are of the same revision.
-- Called by desk.kb.searching, in a transaction of the organization. The function candidates finds and measures the chunks, served by
-- chunks_by_words, chunks_by_sha, embeddings_near and the primary keys; texts are read of the hits alone.
--
-- score       of a chunk: similarity, a little for common words, much where it has more than a third of the question's
--             rare words: then it repeats what was asked. It decides whether the article is relevant.
--             of an article: that of its best chunk and a part of the next two's. It decides the order.
with scored as (
    select article_id, ord, similarity, coverage,
           %(similarity_weight)s * coalesce(similarity, 0)
           + %(coverage_weight)s * coverage
           + case when is_navigation then -%(navigation_penalty)s
                  else %(repeats_weight)s * greatest(coverage - %(repeats_above)s, 0) end as score
      from candidates(%(organization_id)s, %(model_id)s::smallint, %(question)s, %(words)s, %(visibility)s,
                      %(language)s, %(category)s, %(top)s)
), placed as (
    select *, row_number() over (partition by article_id order by score desc, ord) as place from scored
), supported as (
    -- An article of which other passages are near, too, is rather about it than one with a stray sentence.
    select article_id,
           max(score) + %(support_weight)s
           * coalesce(avg(score) filter (where place > 1), 0.8 * max(score)) as score
      from placed
     where place <= 3
     group by article_id
), best as (
    select placed.*, supported.score as article_score
      from placed join supported using (article_id)
     where place = 1 and placed.score >= %(least)s
     order by supported.score desc, article_id
     limit %(top)s
), hits as materialized (
    select best.article_id, article.external_id, article.title, article.revision, article.category, chunk.heading_path,
           chunk.config, chunk.text, best.article_score, best.similarity, best.coverage
      from best
      join articles as article on article.organization_id = %(organization_id)s and article.id = best.article_id
      join chunks as chunk
        on chunk.organization_id = %(organization_id)s and chunk.article_id = best.article_id and chunk.ord = best.ord
), any_word as materialized (
    select spoken.config, (select string_agg(quote_literal(lexeme), ' | ')
                             from unnest(to_tsvector(spoken.config, %(words)s)))::tsquery as query
      from (select distinct config from hits) as spoken
)
select hits.article_id, hits.external_id, hits.title, hits.revision, hits.category, hits.heading_path,
       ts_headline(hits.config, hits.text, coalesce(any_word.query, ''::tsquery),
                   'StartSel="", StopSel="", MaxWords=45, MinWords=25') as excerpt,
       hits.text as passage, hits.article_score as score, hits.similarity, hits.coverage
  from hits
  join any_word using (config)
 order by hits.article_score desc, hits.article_id
