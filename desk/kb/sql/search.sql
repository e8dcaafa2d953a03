-- The articles that answer a question, best first: one snapshot, so that score and text are of the same revision.
-- Called by desk.kb.searching, in a transaction of the organization. Served by the primary keys of chunks and embeddings.
--
-- similarity  of the chunk's vector to the question's (null without vectors)
-- coverage    BM25 of the chunk as a share of the most that the question allows: 1 would be every word, many times
-- score       of a chunk: similarity, a little for common words, much where it has more than a third of the question's
--             rare words: then it repeats what was asked. It decides whether the article is relevant.
--             of an article: that of its best chunk and a part of the next two's. It decides the order.
with visible as (
    select chunk.*, article.external_id, article.title, article.revision, article.category
      from chunks as chunk
      join articles as article
        on article.organization_id = chunk.organization_id and article.id = chunk.article_id
     where chunk.organization_id = %(organization_id)s
       and article.status = 'published'
       and article.deleted_at is null
       and article.visibility = any(%(visibility)s)
       and (%(language)s::text is null or article.language = %(language)s)
       and (%(category)s::text is null or article.category = %(category)s)
), measure as (
    select count(*)::double precision as chunks, greatest(avg(words), 1)::double precision as words from visible
), asked as (
    -- The question in the words of each language that there is; any of them may be found.
    select config, word.lexeme
      from (select distinct config from visible) as configs,
           unnest(to_tsvector(config, %(words)s)) as word
), any_word as (
    select config, string_agg(quote_literal(lexeme), ' | ')::tsquery as query from asked group by config
), found as (
    select visible.article_id, visible.ord, visible.words, visible.config, word.lexeme,
           -- a word of the title counts twice, of a heading one and a half times
           (select sum(case weight when 'A' then 2.0 when 'B' then 1.5 else 1.0 end)
              from unnest(word.weights) as weight)::double precision as frequency
      from visible
      join any_word on any_word.config = visible.config and visible.tsv @@ any_word.query,
           unnest(visible.tsv) as word
     where exists (select from asked where asked.config = visible.config and asked.lexeme = word.lexeme)
), rarity as (
    select asked.config, asked.lexeme,
           ln(1 + (measure.chunks - count(found.ord) + 0.5) / (count(found.ord) + 0.5)) as weight
      from measure cross join asked
      left join found on found.config = asked.config and found.lexeme = asked.lexeme
     group by asked.config, asked.lexeme, measure.chunks
), covered as (
    select found.article_id, found.ord,
           sum(rarity.weight * found.frequency * 2.2
               / (found.frequency + 1.2 * (0.6 + 0.4 * found.words / measure.words)))
           / max(2.2 * (select sum(weight) from rarity as every where every.config = found.config)) as coverage
      from found
      join rarity using (config, lexeme)
     cross join measure
     group by found.article_id, found.ord
), scored as (
    select visible.*, near.similarity, coalesce(covered.coverage, 0) as coverage,
           %(similarity_weight)s * coalesce(near.similarity, 0)
           + %(coverage_weight)s * coalesce(covered.coverage, 0)
           + case when is_navigation then -%(navigation_penalty)s
                  else %(repeats_weight)s * greatest(coalesce(covered.coverage, 0) - %(repeats_above)s, 0) end as score
      from visible
      left join chunk_similarities(%(organization_id)s, %(model_id)s::smallint, %(question)s) as near using (chunk_sha)
      left join covered using (article_id, ord)
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
     where place = 1
)
select best.article_id, best.external_id, best.title, best.revision, best.category, best.heading_path,
       ts_headline(best.config, best.text, coalesce(any_word.query, ''::tsquery),
                   'StartSel="", StopSel="", MaxWords=45, MinWords=25') as excerpt,
       best.text as passage, best.article_score as score, best.similarity, best.coverage
  from best
  left join any_word on any_word.config = best.config
 where best.score >= %(least)s
 order by best.article_score desc, best.article_id
 limit %(top)s
