-- Where each actor's messages go, for pgbroker.enqueue. Called at the start of a worker and by the installer.
-- actors: JSON array of {actor_name, queue_name, priority, max_retries, run_at_most}.
with declared as materialized (
    select * from jsonb_to_recordset(%(actors)s::jsonb) as a (
           actor_name text, queue_name text, priority integer, max_retries integer, run_at_most integer)
), levels as (
    insert into pgbroker.levels (queue_name, priority)
    select distinct queue_name, priority from declared order by 1, 2
    on conflict do nothing
)
insert into pgbroker.actors (actor_name, queue_name, priority, max_retries, run_at_most)
select actor_name, queue_name, priority, max_retries, run_at_most from declared order by actor_name
on conflict (actor_name) do update
   set queue_name = excluded.queue_name, priority = excluded.priority, max_retries = excluded.max_retries,
       run_at_most = excluded.run_at_most, seen_at = now()
