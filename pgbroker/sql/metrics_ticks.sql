-- Of each scheduled actor's last tick: how old it is, and how late it was sent, in seconds. Called by pgbroker.metrics.
-- Served by slots_pkey: one look for each actor.
select a.actor_name, extract(epoch from now() - tick.slot_at)::double precision,
       greatest(0, extract(epoch from tick.sent_at - tick.slot_at))::double precision
  from pgbroker.actors a
 cross join lateral (
        select s.slot_at, s.sent_at from pgbroker.slots s
         where s.actor_name = a.actor_name
         order by s.slot_at desc
         limit 1) tick
