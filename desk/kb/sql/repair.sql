-- Mark what the tables show to be wrong, so that the indexing makes it anew: an article without an entry, a published one
-- without chunks, with chunks of another revision or without a vector, an unpublished one with chunks. What is pending is on
-- its way, what is dead waits for a person. The trigger of article_index sends the message. Entries are
-- locked in the order in which an import marks articles.
-- Called by desk.kb.reconciling, under the organization's lock; served by the primary keys and chunks_by_sha.
with held as (
    select chunk.article_id, min(chunk.article_revision) as oldest, max(chunk.article_revision) as newest,
           bool_or(%(has_vectors)s and vector.chunk_sha is null) as lacks_vector
      from chunks as chunk
      left join chunk_shas_with_vectors(%(organization_id)s, %(model_id)s::smallint) as vector using (chunk_sha)
     where chunk.organization_id = %(organization_id)s
     group by chunk.article_id
), wrong as (
    select article.id, article.revision
      from articles as article
      left join held on held.article_id = article.id
      left join article_index as entry
        on entry.organization_id = article.organization_id and entry.article_id = article.id
     where article.organization_id = %(organization_id)s
       and (entry.article_id is null
            or entry.wanted_revision <> article.revision
            or entry.state = 'ok'
               and case when article.status = 'published' and article.deleted_at is null
                        then held.article_id is null or held.lacks_vector
                             or (held.oldest, held.newest) <> (article.revision, article.revision)
                        else held.article_id is not null end)
)
insert into article_index (organization_id, article_id, wanted_revision)
select %(organization_id)s, wrong.id, wrong.revision from wrong order by wrong.id
on conflict (organization_id, article_id) do update
   set wanted_revision = excluded.wanted_revision, state = 'pending', attempts = 0, last_error = null,
       next_try_at = now(), taken_by = null, wanted_at = now()
