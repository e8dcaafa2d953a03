-- What is suggested for a ticket, the best first, with its votes; what has been hidden or deleted since is left out. Called by
-- desk.tickets.offers.offering; indexes: primary keys of suggestions and suggestion_votes, unique (organization_id, id) of articles.
select s.position, s.article_id, a.external_id, a.title, s.heading, s.excerpt, s.score, s.article_revision,
       a.revision = s.article_revision as current, votes.helpful, votes.not_helpful
  from suggestions s
  join articles a on a.organization_id = s.organization_id and a.id = s.article_id
 cross join lateral (select count(*) filter (where v.helpful) as helpful,
                            count(*) filter (where not v.helpful) as not_helpful
                       from suggestion_votes v
                      where v.organization_id = s.organization_id and v.ticket_id = s.ticket_id
                        and v.article_id = s.article_id and v.article_revision = s.article_revision) votes
 where s.organization_id = %(organization_id)s and s.ticket_id = %(ticket_id)s
   and a.visibility = 'public' and a.status = 'published' and a.deleted_at is null
 order by s.position
