-- An organization's models, the active one first, with their vectors counted in the table itself.
-- Called by desk.kb.builds; reads the organization's chunks (chunks_by_sha) and vectors (primary key).
with distinct_chunks as (
    select distinct chunk_sha from chunks where organization_id = %(organization_id)s
), own as (
    select model.id, model.name, model.dimensions, build.state, build.started_at, build.ended_at, build.note, build.quality
      from models as model
      left join model_builds as build on build.organization_id = %(organization_id)s and build.model_id = model.id
     where build.model_id is not null or model.id = chosen_model(%(organization_id)s)
), counted as (
    select vector.model_id, count(*) as vectors,
           count(*) filter (where vector.created_at > now() - interval '2 minutes') as recent,
           min(vector.created_at) filter (where vector.created_at > now() - interval '2 minutes') as first_recent
      from embeddings as vector join distinct_chunks using (chunk_sha)
     where vector.organization_id = %(organization_id)s
     group by vector.model_id
), failed as (
    select model_id, count(*) as chunks from embedding_failures
     where organization_id = %(organization_id)s and attempts >= %(most)s
     group by model_id
)
select own.name, own.dimensions,
       case when own.id = chosen_model(%(organization_id)s) then 'active' else own.state end as state,
       (select count(*) from distinct_chunks) as chunks, coalesce(counted.vectors, 0) as vectors,
       coalesce(failed.chunks, 0) as failed,
       coalesce(counted.recent / greatest(extract(epoch from now() - counted.first_recent), 1), 0)::float8 as per_second,
       own.started_at, own.ended_at, own.note, own.quality
  from own
  left join counted on counted.model_id = own.id
  left join failed on failed.model_id = own.id
 order by own.id <> chosen_model(%(organization_id)s), own.name
