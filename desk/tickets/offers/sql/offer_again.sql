-- Sends the jobs of open tickets for which the articles may offer something else by now: what was suggested has been changed,
-- hidden or deleted since; nothing was found for a ticket of the last days, and articles have been indexed since; a draft is
-- stale that nobody has decided on. The newest tickets first, each once while it waits. Returns how many messages it asked for.
-- Called by desk.tickets.offers.offering; indexes: primary keys, tickets_by_status. It reads the suggestions of all open tickets.
with wanted as (
    select suggest, draft from organization_settings where organization_id = %(organization_id)s
), indexed as (
    select max(done_at) as at from article_index where organization_id = %(organization_id)s
), open as (
    select id, created_at from tickets
     where organization_id = %(organization_id)s and status not in ('resolved', 'closed')
), good as (  -- suggestions that are what search would find: the article is public, and was indexed before the search
    select offered.ticket_id, count(*) as articles
      from suggestions as offered
      join suggestion_runs as run
        on run.organization_id = offered.organization_id and run.ticket_id = offered.ticket_id
      join articles as article
        on article.organization_id = offered.organization_id and article.id = offered.article_id
       and article.revision = offered.article_revision and article.visibility = 'public'
       and article.status = 'published' and article.deleted_at is null
      join article_index as entry
        on entry.organization_id = offered.organization_id and entry.article_id = offered.article_id
       and entry.done_at <= run.made_at
     where offered.organization_id = %(organization_id)s
     group by offered.ticket_id
), due as (
    (select 'suggest_articles' as actor, open.id
       from open
       join suggestion_runs as run on run.organization_id = %(organization_id)s and run.ticket_id = open.id
       left join good on good.ticket_id = open.id
      cross join indexed
      where (select suggest from wanted)
        and (run.articles > coalesce(good.articles, 0)
             or run.articles = 0 and run.made_at < indexed.at
             and open.created_at > now() - make_interval(days => %(days)s))
      order by open.created_at desc
      limit %(most)s)
    union all
    (select 'draft_reply', open.id
       from open
       join drafts as drafted on drafted.organization_id = %(organization_id)s and drafted.ticket_id = open.id
      cross join indexed
      where (select draft from wanted)
        and (drafted.body is null and drafted.created_at < indexed.at
             and open.created_at > now() - make_interval(days => %(days)s)
             or drafted.stale and not exists (
                select from draft_outcomes as decided
                 where decided.organization_id = %(organization_id)s and decided.ticket_id = open.id
                   and decided.draft_created_at = drafted.created_at))
      order by open.created_at desc
      limit %(most)s)
)
select count(pgbroker.enqueue(actor, args => jsonb_build_array(%(organization_id)s::uuid, id), queue => 'tickets',
                              unique_key => actor || ':' || id, tenant => %(organization_id)s::uuid::text))
  from due
