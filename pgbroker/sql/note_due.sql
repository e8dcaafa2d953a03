-- Which slot of each actor is due next, or is due and could not be sent. Called by Scheduler with every round; writes
-- only what changed. Served by schedules_pkey; in the order of names, so that two schedulers never wait for each other.
-- due: JSON array of {actor_name, schedule, zone, due_at}. Who believes a slot unsent that another has sent is wrong.
insert into pgbroker.schedules as s (actor_name, schedule, zone, due_at)
select d.actor_name, d.schedule, d.zone, d.due_at
  from jsonb_to_recordset(%(due)s::jsonb) as d (actor_name text, schedule text, zone text, due_at timestamptz)
 order by d.actor_name
on conflict (actor_name) do update
   set schedule = excluded.schedule, zone = excluded.zone, due_at = excluded.due_at
 where (s.schedule, s.zone, s.due_at) is distinct from (excluded.schedule, excluded.zone, excluded.due_at)
   and (excluded.due_at > now() or s.last_slot_at is null or excluded.due_at > s.last_slot_at)
