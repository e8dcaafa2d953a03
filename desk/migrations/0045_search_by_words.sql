-- Search that costs what it finds, not what there is: which chunks have a word is looked up, and only the best are scored.
--
-- A word of an organization is a number (word_key), so that one GIN index keeps the words of all organizations apart. The index is
-- read by chunks_having alone: row-level security lets no index serve an operator that is not leakproof. That function
-- looks at the transaction's own organization, whatever it is asked.

create function word_key(organization uuid, lexeme text) returns integer
    language sql immutable parallel safe strict
    return (hashtextextended(lexeme, uuid_hash_extended(organization, 0)) & 2147483647)::integer;

create function word_keys(organization uuid, tsv tsvector) returns integer[]
    language sql immutable parallel safe strict
    return (select coalesce(array_agg(word_key(organization, word.lexeme) order by word.lexeme), '{}') from unnest(tsv) word);

-- How often each word is in a chunk, in the order of word_keys: one of the title counts twice, of a heading one and a half times.
create function word_counts(tsv tsvector) returns real[]
    language sql immutable parallel safe strict
    return (select coalesce(array_agg((select sum(case weight when 'A' then 2.0 when 'B' then 1.5 else 1.0 end)
                                         from unnest(word.weights) as weight)::real order by word.lexeme), '{}')
              from unnest(tsv) word);

alter table chunks
    add column word_keys integer[] not null generated always as (word_keys(organization_id, tsv)) stored,
    add column word_counts real[] not null generated always as (word_counts(tsv)) stored;
-- In the row itself, so that a look at a word needs no second one: what is long beside them goes out of it.
alter table chunks alter column word_keys set storage main, alter column word_counts set storage main;
comment on column chunks.word_keys is 'The words of tsv, as word_key has them.';
comment on column chunks.word_counts is 'How much each of word_keys counts in this chunk.';
drop index chunks_by_words;
create index chunks_by_words on chunks using gin (word_keys) with (fastupdate = off);

-- Which of these words are in which chunks of the transaction's organization.
create function chunks_having(organization uuid, keys integer[])
    returns table (article_id uuid, ord integer, config regconfig, key integer)
    language sql stable security definer set search_path = public, pg_temp
    as $$
        select c.article_id, c.ord, c.config, asked.key
          from unnest(keys) as asked(key)
          join chunks c on c.word_keys @> array[asked.key]
         -- Not "=": the index of the primary key, which finds every chunk of the organization, is of no help here.
         where c.organization_id is not distinct from organization and organization = current_organization()
    $$;

-- How large an organization's knowledge base is: kept by the statements that change it, since counting would take as long as
-- a search may.
create table kb_sizes (
    organization_id  uuid primary key references organizations on delete cascade,
    chunks           bigint not null,
    words            bigint not null
);
call isolate_by_organization('kb_sizes');
comment on table kb_sizes is 'The chunks of an organization and the words in them.';
insert into kb_sizes select organization_id, count(*), sum(words) from chunks group by organization_id;

create function chunks_keep_sizes() returns trigger
    language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        insert into kb_sizes as size (organization_id, chunks, words)
        select changed.organization_id, count(*), sum(changed.words) from changed group by changed.organization_id
        on conflict (organization_id) do update
           set chunks = size.chunks + excluded.chunks, words = size.words + excluded.words;
    else
        update kb_sizes size set chunks = size.chunks - gone.chunks, words = size.words - gone.words
          from (select c.organization_id, count(*) as chunks, sum(c.words) as words from changed c group by 1) gone
         where gone.organization_id = size.organization_id;
    end if;
    return null;
end $$;
create trigger chunks_keep_sizes_inserted after insert on chunks
    referencing new table as changed for each statement execute function chunks_keep_sizes();
create trigger chunks_keep_sizes_deleted after delete on chunks
    referencing old table as changed for each statement execute function chunks_keep_sizes();

-- The vectors nearest to a question, best first, `most` of them. Without pgvector there are none; 0046 replaces both.
create function nearest_chunks(organization uuid, model smallint, question text, most bigint)
    returns table (chunk_sha bytea, similarity double precision)
    language sql stable
    as $$ select null::bytea, null::double precision where false $$;

create function similarities_of(organization uuid, model smallint, question text, shas bytea[])
    returns table (chunk_sha bytea, similarity double precision)
    language sql stable
    as $$ select null::bytea, null::double precision where false $$;

-- The chunks of the articles that may answer a question: of those with the best chunks by words and of those with the best by
-- vectors, all published and of the visibility, language and category asked for (null: any). Each chunk with its similarity (null:
-- it has no vector) and its coverage.
--
-- coverage    BM25 of the chunk as a share of the most that the question allows: 1 would be every word, many times
--
-- In an organization of few chunks every word of the question is looked up. In a larger one a sample (by the hash of the chunks,
-- which is as good as random) tells how common each is, and words are looked up from the rarest on until too much would be found: a
-- chunk with nothing but common words is near the question, or not its answer. What is found is measured by all words.
create function candidates(organization uuid, model smallint, vector text, question text, seen text[],
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
begin
    select * into size from kb_sizes s where s.organization_id = organization and s.chunks > 0;
    if not found then
        return;
    end if;
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
                  from (select distinct visible.language from visible) as each_one) as spoken,
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
        select having_one.article_id, having_one.ord, looked_up.config, looked_up.key
          from chunks_having(organization, array(select distinct looked_up.key from looked_up)) as having_one
          join looked_up on looked_up.key = having_one.key and looked_up.config = having_one.config
    ), counted as materialized (
        select having_word.config, having_word.key, count(*) as chunks
          from having_word
         group by having_word.config, having_word.key
    ), rarity as materialized (
        select guessed.config, guessed.key,
               ln(1 + (size.chunks - known.chunks + 0.5) / (known.chunks + 0.5)) as weight
          from guessed
          left join looked_up on looked_up.config = guessed.config and looked_up.key = guessed.key
          left join counted on counted.config = guessed.config and counted.key = guessed.key
         cross join lateral (select case when looked_up.key is null then guessed.chunks
                                         else coalesce(counted.chunks, 0) end::double precision as chunks) as known
    ), possible as materialized (
        select rarity.config, 2.2 * sum(rarity.weight) as most from rarity group by rarity.config
    ), by_words as (
        select weighed.article_id
          from (select having_word.article_id, sum(rarity.weight) as weight
                  from having_word
                  join rarity on rarity.config = having_word.config and rarity.key = having_word.key
                  join visible on visible.id = having_word.article_id
                 group by having_word.article_id, having_word.ord) as weighed
         group by weighed.article_id
         order by max(weighed.weight) desc, weighed.article_id
         limit most_each
    ), near_one as materialized (
        -- One look into chunks_by_sha for each: "offset 0" keeps it from being turned into a look at every chunk. Three chunks
        -- an article are enough, and more where many articles are not asked for.
        select c.article_id, near.similarity
          from nearest_chunks(organization, model, vector,
                   (select least(size.chunks,
                                 ceil(3 * most_each * count(*) / greatest(count(*) filter (where p.asked_for), 1)::float8))
                      from published p)::bigint) as near
         cross join lateral (select one.article_id from chunks one
                              where one.organization_id = organization and one.chunk_sha = near.chunk_sha offset 0) as c
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
    ), measured as materialized (
        select c.article_id, c.ord, c.is_navigation, c.chunk_sha, word.coverage
          from found
         cross join lateral (select one.article_id, one.ord, one.is_navigation, one.chunk_sha, one.config, one.words,
                                    one.word_keys, one.word_counts
                               from chunks one
                              where one.organization_id = organization and one.article_id = found.article_id offset 0) as c
         cross join lateral (
               select sum(rarity.weight * there.count * 2.2
                          / (there.count + 1.2 * (0.6 + 0.4 * c.words * size.chunks / greatest(size.words, size.chunks))))
                      / (select max(possible.most) from possible where possible.config = c.config) as coverage
                 from rarity
                cross join lateral (select c.word_counts[array_position(c.word_keys, rarity.key)]::double precision as count
                                    offset 0) as there
                where rarity.config = c.config and rarity.key = any(c.word_keys)) as word
    )
    select measured.article_id, measured.ord, measured.is_navigation, near.similarity, coalesce(measured.coverage, 0)
      from measured
      left join similarities_of(organization, model, vector, array(select distinct m.chunk_sha from measured m)) as near
        on near.chunk_sha = measured.chunk_sha;
end $$;
