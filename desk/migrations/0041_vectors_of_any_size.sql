-- requires: vector
--
-- Vectors of models of any number of dimensions in one table; each has as many as its model says, or it cannot be stored.
-- An HNSW index is one per model then: on ((embedding::halfvec(384)) halfvec_ip_ops) where model_id = 1.

alter table embeddings alter column embedding type halfvec;
alter table embeddings
    add column dimensions integer not null generated always as (vector_dims(embedding)) stored,
    add foreign key (model_id, dimensions) references models (id, dimensions);
comment on column embeddings.dimensions is 'Found in the vector itself; the model''s own number, or the row is refused.';

create or replace function chunk_similarities(organization uuid, model smallint, question text)
    returns table (chunk_sha bytea, similarity double precision)
    language sql stable parallel safe
    as $$
        select e.chunk_sha, -(e.embedding <#> question::halfvec)
          from embeddings e
         where e.organization_id = organization and e.model_id = model
    $$;

create or replace function vectors_missing(organization uuid, model smallint) returns bigint
    language sql stable security definer set search_path = public
    as $$
        select count(distinct c.chunk_sha)
          from chunks c
         where c.organization_id = organization
           and not exists (select from embeddings e where e.organization_id = organization
                              and e.model_id = model and e.chunk_sha = c.chunk_sha)
    $$;
