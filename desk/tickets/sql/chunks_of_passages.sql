-- Which chunk of its article each passage is. Called by desk.tickets.jobs; index: primary key of chunks.
select chunk.article_id, min(chunk.ord)
  from unnest(%(articles)s::uuid[], %(passages)s::text[]) as given (article_id, passage)
  join chunks as chunk
    on chunk.organization_id = %(organization_id)s and chunk.article_id = given.article_id and chunk.text = given.passage
 group by chunk.article_id
