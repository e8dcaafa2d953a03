-- Age of each scheduled actor's last tick in seconds, for /metrics (app.web.metrics): one look at slots' primary key each.
select a.actor_name, extract(epoch from now() - tick.slot_at)::float8 as age_seconds
  from pgbroker.actors a
 cross join lateral (select max(slot_at) as slot_at from pgbroker.slots s where s.actor_name = a.actor_name) tick
 where tick.slot_at is not null
