-- How useful what was offered was in the last days: one row. Called by desk.tickets.offers.usefulness; indexes: deflections_by_age,
-- primary keys.
select searched.*, votes.*, drafted.*, outcomes.*, asked.*
  from (select now() - make_interval(days => %(days)s) as at) since
 cross join lateral (
       select count(*) as tickets_searched, count(*) filter (where r.articles > 0) as tickets_with_articles
         from suggestion_runs r
        where r.organization_id = %(organization_id)s and r.made_at > since.at) searched
 cross join lateral (
       select count(*) filter (where v.helpful) as votes_helpful, count(*) filter (where not v.helpful) as votes_not_helpful
         from suggestion_votes v
        where v.organization_id = %(organization_id)s and v.voted_at > since.at) votes
 cross join lateral (
       select count(d.body) as drafts, count(*) filter (where d.body is null) as drafts_none
         from drafts d
        where d.organization_id = %(organization_id)s and d.created_at > since.at) drafted
 cross join lateral (
       select count(*) filter (where o.outcome = 'used') as drafts_used,
              count(*) filter (where o.outcome = 'edited') as drafts_edited,
              count(*) filter (where o.outcome = 'discarded') as drafts_discarded
         from draft_outcomes o
        where o.organization_id = %(organization_id)s and o.at > since.at) outcomes
 cross join lateral (
       select count(*) filter (where d.articles + d.answers > 0) as shown_before_a_ticket,
              count(*) filter (where d.articles + d.answers = 0) as nothing_to_show,
              count(d.clicked_at) as clicked,
              count(d.submitted_at) filter (where d.articles + d.answers > 0) as submitted_all_the_same,
              count(*) filter (where d.articles + d.answers > 0 and d.submitted_at is null
                                 and d.shown_at < now() - make_interval(mins => %(gone_minutes)s)) as not_submitted
         from deflections d
        where d.organization_id = %(organization_id)s and d.shown_at > since.at) asked
