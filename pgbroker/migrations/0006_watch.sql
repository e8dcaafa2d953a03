-- Idle processes take turns in looking, and the one statement of a turn beats as well (sql/watch.sql).

alter table pgbroker.processes add column watches_until timestamptz;
comment on column pgbroker.processes.watches_until is
    'It is idle and takes turns in looking with others that are: until then it is counted among them.';

-- Everything that a process should know of its queues before it waits: the time; seconds until the first message is due
-- (negative: it is; null: none waits); [queue, priority] of levels that no actor declares and nobody noted yet; queues in
-- which messages with a run key wait. Served by queue_waiting and queue_limited: two probes per level, one per queue.
create function pgbroker.survey(queues text[])
    returns table (at timestamptz, due_in double precision, levels jsonb, limited text[])
    language sql stable parallel safe as $$
with recursive level (queue_name, priority) as (
    select w.queue_name,
           (select min(q.priority) from dramatiq.queue q
             where q.state = 'queued' and q.run_key is null and q.queue_name = w.queue_name)
      from unnest(survey.queues) w (queue_name)
    union all
    select l.queue_name,
           (select min(q.priority) from dramatiq.queue q
             where q.state = 'queued' and q.run_key is null and q.queue_name = l.queue_name and q.priority > l.priority)
      from level l
     where l.priority is not null
), first as (
    select level.queue_name, level.priority,
           (select min(q.run_at) from dramatiq.queue q
             where q.state = 'queued' and q.run_key is null
               and q.queue_name = level.queue_name and q.priority = level.priority) as run_at
      from level
     where level.priority is not null
)
select now(),
       (select extract(epoch from min(first.run_at) - now())::double precision
          from first
         where not exists (select from pgbroker.queues p
                            where p.queue_name = first.queue_name and p.paused_at is not null)),
       (select coalesce(jsonb_agg(jsonb_build_array(first.queue_name, first.priority)), '[]')
          from first
         where not exists (select from pgbroker.levels l
                            where l.queue_name = first.queue_name and l.priority = first.priority)),
       -- min(), not exists: that one may walk past the messages of all other queues.
       array(select w.queue_name from unnest(survey.queues) w (queue_name)
              where (select min(q.run_key) from dramatiq.queue q
                      where q.state = 'queued' and q.run_key is not null and q.queue_name = w.queue_name) is not null)
$$;
