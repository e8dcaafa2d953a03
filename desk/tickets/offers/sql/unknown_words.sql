-- Which of these words stand in no public article; those that the articles' language leaves out of its index ("the") may stand in
-- any. Called by desk.tickets.offers.deflecting; served by the primary key of chunks.
select word
  from unnest(%(words)s::text[]) as word
 where not exists (
       select from chunks as chunk
         join articles as article
           on article.organization_id = chunk.organization_id and article.id = chunk.article_id
        cross join plainto_tsquery(chunk.config, word) as sought
        where chunk.organization_id = %(organization_id)s and article.visibility = 'public'
          and article.status = 'published' and article.deleted_at is null
          and (numnode(sought) = 0 or chunk.tsv @@ sought))
