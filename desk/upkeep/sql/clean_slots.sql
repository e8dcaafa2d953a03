-- Ticks that were sent more than a week ago: no scheduler looks back that far. Called by desk.upkeep.retention; index:
-- primary key, scanned (one row a tick).
delete from pgbroker.slots
 where (actor_name, slot_at) in (
       select actor_name, slot_at from pgbroker.slots where slot_at < now() - interval '7 days' limit %(batch)s)
