-- Schedulers that beat no more are gone; an actor that none of the others has is not due any more. Called by Scheduler
-- with every round. Both tables are small and scanned.
with gone as (
    delete from pgbroker.schedulers where beat_at < now() - %(silent_seconds)s * interval '1 second'
)
update pgbroker.schedules d set due_at = null
 where d.due_at is not null
   and not exists (select from pgbroker.schedulers s
                    where d.actor_name = any (s.actors) and s.beat_at >= now() - %(silent_seconds)s * interval '1 second')
