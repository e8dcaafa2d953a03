-- Forget old ticks, except the last one of each actor, and those of a clock that was wrong by days. Called by Scheduler
-- once a day. Served by slots_pkey, scanned: some ten thousand rows an actor.
delete from pgbroker.slots s
 where s.slot_at > now() + %(days)s * interval '1 day'
    or s.slot_at < now() - %(days)s * interval '1 day'
       and exists (select from pgbroker.slots later where later.actor_name = s.actor_name and later.slot_at > s.slot_at)
