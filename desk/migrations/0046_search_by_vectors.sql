-- requires: vector
--
-- The nearest vectors: by looking at every one of the organization where that is quick, which misses none, and by the graph
-- (HNSW) where it is not. Nobody chooses: the number of chunks does.

-- One graph of all organizations with vectors of the default model's size; models with others are compared exactly.
create index embeddings_near on embeddings using hnsw ((embedding::halfvec(384)) halfvec_ip_ops)
    with (m = 16, ef_construction = 64) where dimensions = 384;

create or replace function similarities_of(organization uuid, model smallint, question text, shas bytea[])
    returns table (chunk_sha bytea, similarity double precision)
    language plpgsql stable set plan_cache_mode = force_generic_plan set jit = off as $$
declare
    asked constant halfvec := question::halfvec;
begin
    return query
    select e.chunk_sha, e.similarity
      from unnest(shas) as wanted(sha)
     cross join lateral (select one.chunk_sha, -(one.embedding <#> asked) as similarity from embeddings one
                          where one.organization_id = organization and one.model_id = model
                            and one.chunk_sha = wanted.sha offset 0) as e;
end $$;

create or replace function nearest_chunks(organization uuid, model smallint, question text, most bigint)
    returns table (chunk_sha bytea, similarity double precision)
    language plpgsql stable set plan_cache_mode = force_generic_plan set jit = off as $$
declare
    asked constant halfvec := question::halfvec;
begin
    return query
    select e.chunk_sha, -(e.embedding <#> asked) as similarity
      from embeddings e
     where e.organization_id = organization and e.model_id = model
     order by e.embedding <#> asked
     limit most;
end $$;
