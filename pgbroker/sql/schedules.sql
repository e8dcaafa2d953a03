-- How far each periodic actor's ticks have come. Called by pgbroker.scheduler.schedules. The table is small and scanned.
select actor_name as actor, schedule, zone, last_slot_at, due_at,
       greatest(0, extract(epoch from now() - due_at))::double precision as late_seconds
  from pgbroker.schedules
 where due_at is not null
 order by actor_name
