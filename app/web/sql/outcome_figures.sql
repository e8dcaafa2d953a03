-- How messages ended, by queue and actor, for /metrics (app.web.metrics): finished within five minutes (index
-- finished_by_age; the whole table would be read at each scrape otherwise) and all dead letters (a few rows, or somebody
-- should look).
select outcome, queue_name, coalesce(actor_name, 'none') as actor_name, count(*) as messages
  from (select 'finished' as outcome, queue_name, actor_name from pgbroker.finished
         where finished_at > now() - interval '5 minutes'
        union all
        select 'dead', queue_name, actor_name from pgbroker.dead_letters) ended
 group by 1, 2, 3
