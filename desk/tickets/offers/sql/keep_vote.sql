-- One vote per voter, ticket and revision of the article, the last one; none for what was not suggested. Called by
-- desk.tickets.offers.offering, which sees by the row whether it was; index: primary keys.
insert into suggestion_votes (organization_id, ticket_id, article_id, article_revision, voter, helpful)
select s.organization_id, s.ticket_id, s.article_id, coalesce(%(article_revision)s, s.article_revision), %(voter)s, %(helpful)s
  from suggestions s
 where s.organization_id = %(organization_id)s and s.ticket_id = %(ticket_id)s and s.article_id = %(article_id)s
   and coalesce(%(article_revision)s, s.article_revision) between 1 and s.article_revision
on conflict (organization_id, ticket_id, article_id, article_revision, voter) do update
   set (helpful, voted_at) = (excluded.helpful, now())
returning article_revision
