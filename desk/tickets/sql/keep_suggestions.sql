-- The suggested articles of a ticket, those that are still what the search saw. Called by
-- desk.tickets.results.keep_suggestions through execute_values; index: unique (organization_id, id) of articles.
insert into suggestions (organization_id, ticket_id, ticket_revision, position, article_id, article_revision, title, heading,
                         excerpt, score)
select v.organization_id, v.ticket_id, v.ticket_revision, v.position::smallint, a.id, a.revision, a.title, v.heading,
       v.excerpt, v.score::double precision
  from (values %s) v (organization_id, ticket_id, ticket_revision, position, article_id, article_revision, heading, excerpt,
                      score)
  join articles a on a.organization_id = v.organization_id and a.id = v.article_id and a.revision = v.article_revision
