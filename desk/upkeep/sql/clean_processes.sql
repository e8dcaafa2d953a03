-- Worker processes without a beat for a week that hold nothing. Called by desk.upkeep.retention; index: queue_running.
delete from pgbroker.processes
 where process_id in (
       select p.process_id
         from pgbroker.processes p
        where p.beat_at < now() - interval '7 days'
          and not exists (select from dramatiq.queue q where q.process_id = p.process_id and q.state = 'consumed')
        limit %(batch)s)
