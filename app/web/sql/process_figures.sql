-- Worker processes that beat, by queue, for /metrics (app.web.metrics). A table of a few rows.
select queue_name, count(*) as processes
  from pgbroker.processes p
 cross join lateral unnest(p.queues) as queue_name
 where p.beat_at > now() - make_interval(secs => %(beat_lost_seconds)s)
 group by 1
