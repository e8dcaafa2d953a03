-- requires: vector
--
-- The nearest vectors: by looking at every one of the organization where that is quick, which misses none, and by a graph
-- (HNSW) where it is not. Nobody chooses: the number of chunks does.

-- One graph for the large organizations alone: to put a vector into it takes as long as a tenth of making it. Models of another
-- size are compared exactly.
alter table embeddings add column in_graph boolean not null default false;
create index embeddings_near on embeddings using hnsw ((embedding::halfvec(384)) halfvec_ip_ops)
    with (m = 16, ef_construction = 64) where in_graph and dimensions = 384;
comment on column embeddings.in_graph is 'Its organization has so many that the nearest are found by embeddings_near.';

alter table kb_sizes add column in_graph boolean not null default false;
comment on column kb_sizes.in_graph is 'Every vector is in embeddings_near; stays so.';

-- From how many chunks on an organization's vectors are in the graph: below, to compare all takes some milliseconds at most.
create function graph_from_chunks() returns bigint language sql immutable parallel safe return 10000;

create function embeddings_join_graph() returns trigger
    language plpgsql set search_path = public as $$
begin
    new.in_graph := exists (select from kb_sizes s where s.organization_id = new.organization_id
                               and (s.in_graph or s.chunks > graph_from_chunks()));
    return new;
end $$;
create trigger embeddings_join_graph before insert on embeddings
    for each row execute function embeddings_join_graph();

-- Put up to `most` vectors of an organization that has become large into the graph. Returns how many; none: it is small, or
-- all are there.
create function grow_graph(organization uuid, most bigint) returns bigint
    language plpgsql set search_path = public as $$
declare
    added bigint;
begin
    if not exists (select from kb_sizes s where s.organization_id = organization and not s.in_graph
                      and s.chunks > graph_from_chunks()) then
        return 0;
    end if;
    update embeddings e set in_graph = true
      from (select v.model_id, v.chunk_sha from embeddings v
             where v.organization_id = organization and not v.in_graph limit most for update) as some_
     where e.organization_id = organization and e.model_id = some_.model_id and e.chunk_sha = some_.chunk_sha;
    get diagnostics added = row_count;
    if added < most then
        update kb_sizes set in_graph = true where organization_id = organization;
    end if;
    return added;
end $$;

create or replace function similarities_of(organization uuid, model smallint, question text, shas bytea[])
    returns table (chunk_sha bytea, similarity double precision)
    language plpgsql stable set plan_cache_mode = force_generic_plan set jit = off as $$
declare
    asked constant halfvec := question::halfvec;
begin
    if question is null then
        return;
    end if;
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
    set hnsw.iterative_scan = strict_order set hnsw.ef_search = 300 set hnsw.max_scan_tuples = 40000 as $$
begin
    return query
    select near.chunk_sha, -near.distance
      from (select e.chunk_sha, e.embedding::halfvec(384) <#> asked::halfvec(384) as distance
              from embeddings e
             where e.in_graph and e.dimensions = 384 and e.organization_id = organization and e.model_id = model
             order by distance
             limit most) as near;
end $$;

-- By the graph where few of very many are wanted. Where it gave up before it had them, since too many of others lay between, all
-- are compared.
create or replace function nearest_chunks(organization uuid, model smallint, question text, most bigint)
    returns table (chunk_sha bytea, similarity double precision)
    language plpgsql stable as $$
declare
    asked  constant halfvec := question::halfvec;
    found_ bigint;
begin
    if question is null then  -- by words alone
        return;
    end if;
    if vector_dims(asked) = 384
       and exists (select from kb_sizes s where s.organization_id = organization and s.in_graph
                      and s.chunks > graph_from_chunks() and s.chunks >= 10 * most) then
        return query select * from nearest_in_graph(organization, model, asked, most);
        get diagnostics found_ = row_count;
        if found_ >= most then
            return;
        end if;
        return query select * from nearest_of_all(organization, model, asked, most);  -- twice the same does no harm
    else
        return query select * from nearest_of_all(organization, model, asked, most);
    end if;
end $$;
