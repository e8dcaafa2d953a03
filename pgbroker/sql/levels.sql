-- Note priorities that are in use and that no sender noted (an older one, a row written by hand); of these queues return
-- those where messages with a run key wait. Called by Lifeline now and then. Served by queue_waiting and queue_limited.
with recursive found (queue_name, priority) as (
    select w.queue_name,
           (select min(q.priority) from dramatiq.queue q
             where q.state = 'queued' and q.run_key is null and q.queue_name = w.queue_name)
      from unnest(%(queues)s::text[]) w (queue_name)
    union all
    select f.queue_name,
           (select min(q.priority) from dramatiq.queue q
             where q.state = 'queued' and q.run_key is null and q.queue_name = f.queue_name and q.priority > f.priority)
      from found f
     where f.priority is not null
), noted as (
    insert into pgbroker.levels (queue_name, priority)
    select f.queue_name, f.priority
      from found f
     where f.priority is not null
       and not exists (select from pgbroker.levels l where l.queue_name = f.queue_name and l.priority = f.priority)
     order by 1, 2
    on conflict do nothing
    returning queue_name
)
select w.queue_name,
       exists (select from noted n where n.queue_name = w.queue_name),
       exists (select from dramatiq.queue q
                where q.state = 'queued' and q.run_key is not null and q.queue_name = w.queue_name)
  from unnest(%(queues)s::text[]) w (queue_name)
