-- requires: vector
--
-- The nearest vectors: by looking at every one of the organization where that is quick, which misses none, and by a graph
-- (HNSW) where it is not. Nobody chooses: the number of chunks does.

-- One graph for the vectors of the default model's size, of all organizations; those of other models are compared exactly.
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

create function nearest_of_all(organization uuid, model smallint, asked halfvec, most bigint)
    returns table (chunk_sha bytea, similarity double precision)
    language plpgsql stable set plan_cache_mode = force_generic_plan set jit = off as $$
begin
    return query
    select near.chunk_sha, -near.distance  -- outside, or it would be worked out twice for each
      from (select e.chunk_sha, e.embedding <#> asked as distance
              from embeddings e
             where e.organization_id = organization and e.model_id = model
             order by distance
             limit most) as near;
end $$;

-- The scan goes on until `most` vectors of the organization are found; rows of others are passed over. Without sorting there is
-- no way but by the graph.
create function nearest_in_graph(organization uuid, model smallint, asked halfvec, most bigint)
    returns table (chunk_sha bytea, similarity double precision)
    language plpgsql stable set plan_cache_mode = force_generic_plan set jit = off set enable_sort = off
    set hnsw.iterative_scan = strict_order set hnsw.ef_search = 200 set hnsw.max_scan_tuples = 40000 as $$
begin
    return query
    select near.chunk_sha, -near.distance
      from (select e.chunk_sha, e.embedding::halfvec(384) <#> asked::halfvec(384) as distance
              from embeddings e
             where e.dimensions = 384 and e.organization_id = organization and e.model_id = model
             order by distance
             limit most) as near;
end $$;

-- The graph pays where the organization has very many vectors, few of them are wanted, and those of others in between are not
-- too many: it must pass over them.
create or replace function nearest_chunks(organization uuid, model smallint, question text, most bigint)
    returns table (chunk_sha bytea, similarity double precision)
    language plpgsql stable as $$
declare
    asked  constant halfvec := question::halfvec;
    own    constant bigint := coalesce((select s.chunks from kb_sizes s where s.organization_id = organization), 0);
    every_ constant bigint := greatest(own, (select c.reltuples::bigint from pg_class c where c.oid = 'embeddings'::regclass));
begin
    if vector_dims(asked) = 384 and own > 20000 and most * every_ / greatest(own, 1) <= least(own / 10, 20000) then
        return query select * from nearest_in_graph(organization, model, asked, most);
    else
        return query select * from nearest_of_all(organization, model, asked, most);
    end if;
end $$;
