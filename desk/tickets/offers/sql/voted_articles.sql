-- Articles that were voted on in the last days, those first that helped least. Called by desk.tickets.offers.usefulness; index:
-- primary key of suggestion_votes.
select a.external_id, a.title, v.article_revision as revision, a.revision = v.article_revision as current,
       count(*) filter (where v.helpful) as helpful, count(*) filter (where not v.helpful) as not_helpful
  from suggestion_votes v
  join articles a on a.organization_id = v.organization_id and a.id = v.article_id
 where v.organization_id = %(organization_id)s and v.voted_at > now() - make_interval(days => %(days)s)
 group by a.external_id, a.title, v.article_revision, a.revision
 order by not_helpful desc, helpful, a.external_id, v.article_revision
 limit %(top)s
