-- The turn of an idle process: is there anything to do? Returns whether its row is there, whether some process has missed
-- its beat, its place among those that take turns for these queues and how many they are, whether any message waits in these
-- queues, and the time. Called by Lifeline. Served by queue_waiting and queue_limited; of processes there are few.
-- Whoever looks into more queues than we do looks into ours as well.
select coalesce(bool_or(p.process_id = %(process_id)s::uuid), false),
       coalesce(bool_or(coalesce(p.beat_due_at, p.beat_at + interval '1.3 s') < now()), false),
       count(*) filter (where p.process_id < %(process_id)s::uuid
                          and p.watches_until > now() and p.queues @> %(queues)s::text[]),
       count(*) filter (where p.process_id = %(process_id)s::uuid
                           or (p.watches_until > now() and p.queues @> %(queues)s::text[])),
       exists (select from unnest(%(queues)s::text[]) w (queue_name)
                where (select min(q.priority) from dramatiq.queue q
                        where q.state = 'queued' and q.run_key is null and q.queue_name = w.queue_name) is not null
                   or (select min(q.run_key) from dramatiq.queue q
                        where q.state = 'queued' and q.run_key is not null and q.queue_name = w.queue_name) is not null),
       now()
  from pgbroker.processes p
