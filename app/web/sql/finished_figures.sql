-- Messages finished within five minutes, by queue and actor, for /metrics (app.web.metrics). Index: finished_by_age; the
-- whole table would be read at each scrape otherwise.
select queue_name, coalesce(actor_name, 'none') as actor_name, count(*) as messages
  from pgbroker.finished
 where finished_at > now() - interval '5 minutes'
 group by 1, 2
