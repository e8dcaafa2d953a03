-- How an organization's knowledge base stands, counted in the tables themselves and not in what was noted about them.
-- Called by desk.kb.status; reads the organization's part of articles, chunks and article_index by their primary keys.
with wanted as (
    select article.id, article.revision
      from articles as article
     where article.organization_id = %(organization_id)s
       and article.status = 'published'
       and article.deleted_at is null
), held as (
    select chunk.article_id, min(chunk.article_revision) as revision, count(*) as chunks,
           count(*) filter (where near.chunk_sha is null) as without_vector
      from chunks as chunk
      left join chunk_shas_with_vectors(%(organization_id)s, %(model_id)s::smallint) as near using (chunk_sha)
     where chunk.organization_id = %(organization_id)s
     group by chunk.article_id
), pace as (
    -- While something waits its own time counts: an hour's pause before it is no pace. At least half a minute, five at most.
    select greatest(least(min(wanted_at), now() - interval '30 seconds'), now() - interval '5 minutes') as since
      from article_index
     where organization_id = %(organization_id)s
       and state = 'pending'
       and attempts = 0
)
select (select count(*) from articles
         where organization_id = %(organization_id)s and deleted_at is null) as articles,
       (select count(*) from wanted) as published,
       (select count(*) from wanted join held on held.article_id = wanted.id
         where held.revision = wanted.revision and (held.without_vector = 0 or not %(has_vectors)s)) as searchable,
       (select coalesce(sum(chunks), 0)::bigint from held) as chunks,
       (select count(*) from chunk_shas_with_vectors(%(organization_id)s, %(model_id)s::smallint)) as vectors,
       (select count(*) from article_index
         where organization_id = %(organization_id)s and state = 'pending') as pending,
       (select count(*) from article_index
         where organization_id = %(organization_id)s and state = 'dead') as dead,
       (select coalesce(extract(epoch from now() - min(wanted_at)), 0)::double precision from article_index
         where organization_id = %(organization_id)s and state = 'pending') as lag_seconds,
       -- since the first of them, where that was later
       (select coalesce(count(*) / greatest(extract(epoch from now() - min(done_at)), 1), 0)::float8
          from article_index cross join pace
         where organization_id = %(organization_id)s and done_at > pace.since) as articles_per_second
