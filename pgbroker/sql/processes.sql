-- Worker processes and how many messages each holds. Called by pgbroker.stats. Served by queue_running.
select p.host, p.pid, array_to_string(p.queues, ' ') as queues, p.started_at,
       round(extract(epoch from now() - p.beat_at), 1)::double precision as beat_seconds_ago,
       (select count(*) from dramatiq.queue q where q.process_id = p.process_id and q.state = 'consumed') as running
  from pgbroker.processes p
 order by p.started_at
