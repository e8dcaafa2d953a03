-- requires: vector
--
-- Vectors, addressed by what they are the vector of: chunks with the same input share one, within an organization and
-- never across two. Without pgvector this file waits, and search is by words alone.

create table embeddings (
    organization_id  uuid not null references organizations on delete cascade,
    model_id         smallint not null references models,
    chunk_sha        bytea not null,
    embedding        halfvec(384) not null check (l2_norm(embedding) between 0.98 and 1.02),
    created_at       timestamptz not null default now(),
    primary key (organization_id, model_id, chunk_sha)
);
call isolate_by_organization('embeddings');
comment on column embeddings.embedding is 'Of length 1: a zero or damaged vector cannot be stored.';

-- Exact, every vector of the organization: some thousand take a few milliseconds and none is missed.
create or replace function chunk_similarities(organization uuid, model smallint, question text)
    returns table (chunk_sha bytea, similarity double precision)
    language sql stable parallel safe
    as $$
        select e.chunk_sha, -(e.embedding <#> question::halfvec(384))
          from embeddings e
         where e.organization_id = organization and e.model_id = model
    $$;

create or replace function chunk_shas_with_vectors(organization uuid, model smallint) returns table (chunk_sha bytea)
    language sql stable parallel safe
    as $$ select e.chunk_sha from embeddings e where e.organization_id = organization and e.model_id = model $$;

-- Where articles were indexed before there was pgvector, they are to be embedded now.
update article_index set state = 'pending', attempts = 0, next_try_at = now(), done_revision = null, wanted_at = now();
