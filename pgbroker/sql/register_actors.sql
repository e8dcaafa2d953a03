-- Where each actor's messages go, for pgbroker.enqueue. Called at the start of a worker and by the installer.
-- actors: JSON array of {actor_name, queue_name, priority, max_retries}.
insert into pgbroker.actors (actor_name, queue_name, priority, max_retries)
select actor_name, queue_name, priority, max_retries
  from jsonb_to_recordset(%(actors)s::jsonb) as a (
       actor_name text, queue_name text, priority integer, max_retries integer)
 order by actor_name
on conflict (actor_name) do update
   set queue_name = excluded.queue_name, priority = excluded.priority, max_retries = excluded.max_retries,
       seen_at = now()
