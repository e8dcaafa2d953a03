-- The function candidates of 0049, quicker for a long question: which words a chunk has is found by the index in organizations of
-- every size, and what is found is not looked for again in each chunk.

-- Which of these words are in which chunks of the transaction's organization, how much each counts there, and of how many words
-- the chunk is.
drop function chunks_having(uuid, integer[]);
create function chunks_having(organization uuid, keys integer[])
    returns table (article_id uuid, ord integer, config regconfig, key integer, count real, words integer)
    language sql stable security definer set search_path = public, pg_temp
    set enable_seqscan = off  -- of few chunks Postgres would rather compare each with each word: five times as slow
    as $$
        select c.article_id, c.ord, c.config, asked.key, c.word_counts[array_position(c.word_keys, asked.key)],
               c.words
          from unnest(keys) as asked(key)
          join chunks c on c.word_keys @> array[asked.key]
         -- Not "=": the index of the primary key, which finds every chunk of the organization, is of no help here.
         where c.organization_id is not distinct from organization and organization = current_organization()
    $$;
revoke execute on function chunks_having from public;
grant execute on function chunks_having to atum_worker;

-- The chunks of the articles that may answer a question: of those with the best chunks by words and of those with the best by
-- vectors, all published and of the visibility, language and category asked for (null: any). Each chunk with its similarity (null:
-- it has no vector) and its coverage.
--
-- coverage    BM25 of the chunk as a share of the most that the question allows: 1 would be every word, many times
--
-- In an organization of few chunks every word of the question is looked up. In a larger one a sample (by the hash of the chunks,
-- which is as good as random) tells how common each is, and words are looked up from the rarest on until too much would be found: a
-- chunk with nothing but common words is near the question, or not its answer. What is found is measured by all words.
create or replace function candidates(organization uuid, model smallint, vector text, question text, seen text[],
                           wanted_language text, wanted_category text, top integer)
    returns table (article_id uuid, ord integer, is_navigation boolean, similarity double precision,
                   coverage double precision)
    language plpgsql stable set plan_cache_mode = force_generic_plan set jit = off set enable_memoize = off as $$
declare
    -- Articles that each leg finds: the best `top` of both together are among them. Words alone tell less apart.
    most_each    constant bigint := case when vector is null then 300 else 20 + 6 * top end;
    few          constant bigint := 2000;  -- chunks up to which every word is looked up
    sample_size  constant bigint := 200;
    most_found   constant bigint := case when vector is null then 12000 else 1500 end;
    size         kb_sizes;
    each_word    double precision;  -- BM25, k1 1.2 and b 0.4: by how much each word of a chunk makes one of them tell less
begin
    select * into size from kb_sizes s where s.organization_id = organization and s.chunks > 0;
    if not found then
        return;
    end if;
    each_word := 1.2 * 0.4 * size.chunks / greatest(size.words, size.chunks);
    return query
    with published as materialized (
        select a.id, a.language,
               a.visibility = any(seen) and (wanted_language is null or a.language = wanted_language)
               and (wanted_category is null or a.category = wanted_category) as asked_for
          from articles a
         where a.organization_id = organization and a.status = 'published' and a.deleted_at is null
    ), visible as materialized (
        select published.id, published.language from published where published.asked_for
    ), asked as materialized (
        -- The question in the words of each language that there is; any of them may be found.
        select distinct spoken.config, word_key(organization, word.lexeme) as key
          from (select search_config(each_one.language) as config
                  from (select distinct visible.language from visible) as each_one offset 0) as spoken,
               unnest(to_tsvector(spoken.config, question)) as word
    ), sample as materialized (
        select c.config, c.word_keys
          from chunks c
         where size.chunks > few
           and c.organization_id = organization
           and c.chunk_sha < int4send(least(sample_size * 4294967296 / size.chunks, 2147483647)::integer)
    ), guessed as materialized (
        select asked.config, asked.key,
               count(sample.config) * size.chunks / greatest((select count(*) from sample), 1) as chunks
          from asked
          left join sample on sample.config = asked.config and asked.key = any(sample.word_keys)
         group by asked.config, asked.key
    ), looked_up as materialized (
        select ranked.config, ranked.key
          from (select guessed.config, guessed.key,
                       sum(guessed.chunks) over rarest as together, row_number() over rarest as place
                  from guessed
                window rarest as (order by guessed.chunks, guessed.key, guessed.config)) as ranked
         where size.chunks <= few or ranked.place = 1 or ranked.together <= most_found
    ), having_word as materialized (
        select having_one.article_id, having_one.ord, looked_up.config, looked_up.key, having_one.count, having_one.words
          from chunks_having(organization, array(select distinct looked_up.key from looked_up)) as having_one
          join looked_up on looked_up.key = having_one.key and looked_up.config = having_one.config
    ), counted as materialized (
        select having_word.config, having_word.key, count(*) as chunks
          from having_word
         group by having_word.config, having_word.key
    ), rarity as materialized (
        select guessed.config, guessed.key, looked_up.key is null as unsought,
               ln(1 + (size.chunks - known.chunks + 0.5) / (known.chunks + 0.5)) as weight
          from guessed
          left join looked_up on looked_up.config = guessed.config and looked_up.key = guessed.key
          left join counted on counted.config = guessed.config and counted.key = guessed.key
         cross join lateral (select case when looked_up.key is null then guessed.chunks
                                         else coalesce(counted.chunks, 0) end::double precision as chunks) as known
    ), possible as materialized (
        select rarity.config, 2.2 * sum(rarity.weight) as most from rarity group by rarity.config
    ), said as materialized (
        -- What each chunk has of the words that were looked up: how rare they are, and what they are worth there.
        select having_word.article_id, having_word.ord, sum(rarity.weight) as weight,
               sum(rarity.weight * having_word.count * 2.2
                   / (having_word.count + 1.2 * 0.6 + each_word * having_word.words)) as points
          from having_word
          join rarity on rarity.config = having_word.config and rarity.key = having_word.key
         group by having_word.article_id, having_word.ord
    ), by_words as (
        -- "is true" keeps this a look into a hash table: as a join it was one of every word with every article. Sums of the same
        -- words in another order differ in their last digits, which "real" has not: the same articles, whatever the plan.
        select best.article_id
          from (select said.article_id, max(said.weight)::real as weight from said group by said.article_id) as best
         where (best.article_id in (select visible.id from visible)) is true
         order by best.weight desc, best.article_id
         limit most_each
    ), nearest as materialized (
        -- Three chunks an article are enough, and more where many articles are not asked for.
        select near.chunk_sha, near.similarity
          from nearest_chunks(organization, model, vector,
                   (select least(size.chunks,
                                 ceil(3 * most_each * count(*) / greatest(count(*) filter (where p.asked_for), 1)::float8))
                      from published p)::bigint) as near
    ), near_one as materialized (
        -- One look into chunks_by_sha for each: "offset 0" keeps it from being turned into a look at every chunk.
        select c.article_id, nearest.similarity
          from nearest
         cross join lateral (select one.article_id from chunks one
                              where one.organization_id = organization and one.chunk_sha = nearest.chunk_sha offset 0) as c
    ), by_vector as (
        select near_one.article_id
          from near_one
          join visible on visible.id = near_one.article_id
         group by near_one.article_id
         order by max(near_one.similarity) desc, near_one.article_id
         limit most_each
    ), found as (
        select by_words.article_id from by_words
        union
        select by_vector.article_id from by_vector
    ), unsought as materialized (
        select rarity.config, rarity.key, rarity.weight from rarity where rarity.unsought
    ), chunk as materialized (
        select c.article_id, c.ord, c.config, c.is_navigation, c.chunk_sha, word.points
          from found
         cross join lateral (select one.article_id, one.ord, one.config, one.is_navigation, one.chunk_sha, one.words,
                                    one.word_keys, one.word_counts
                               from chunks one
                              where one.organization_id = organization and one.article_id = found.article_id offset 0) as c
         cross join lateral (
               select sum(unsought.weight * there.count * 2.2 / (there.count + 1.2 * 0.6 + each_word * c.words)) as points
                 from unsought
                cross join lateral (select c.word_counts[array_position(c.word_keys, unsought.key)]::double precision as count
                                    offset 0) as there
                where unsought.config = c.config and unsought.key = any(c.word_keys)) as word
    ), measured as materialized (
        select chunk.article_id, chunk.ord, chunk.is_navigation, chunk.chunk_sha,
               (coalesce(said.points, 0) + coalesce(chunk.points, 0))
               / (select max(possible.most) from possible where possible.config = chunk.config) as coverage
          from chunk
          left join said on said.article_id = chunk.article_id and said.ord = chunk.ord
    ), known as materialized (
        select nearest.chunk_sha, max(nearest.similarity) as similarity from nearest group by nearest.chunk_sha
    ), others as materialized (
        select near.chunk_sha, near.similarity
          from similarities_of(organization, model, vector,
                               array(select measured.chunk_sha from measured
                                      except select known.chunk_sha from known)) as near
    )
    select measured.article_id, measured.ord, measured.is_navigation, coalesce(known.similarity, others.similarity),
           coalesce(measured.coverage, 0)
      from measured
      left join known on known.chunk_sha = measured.chunk_sha
      left join others on others.chunk_sha = measured.chunk_sha;
end $$;
