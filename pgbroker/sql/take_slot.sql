-- Claim a tick: a row when it is ours to send; none when it or a later one was sent, or its time is over. Called by
-- Scheduler in the transaction that also inserts the message. Served by schedules_pkey and slots_pkey.
-- A last slot hours ahead was sent by a clock that was wrong, and holds nothing up.
with hold as materialized (
    -- Our lock on the actor's row must not outlast us: suspended before the commit, we are rolled back.
    select set_config('idle_in_transaction_session_timeout', %(hold_ms)s::text, true)
), turn as (
    insert into pgbroker.schedules as s (actor_name, schedule, zone, last_slot_at, due_at)
    select %(actor_name)s, %(schedule)s, %(zone)s, %(slot_at)s::timestamptz, %(due_at)s::timestamptz
      from hold
     where now() >= %(slot_at)s and now() < %(slot_at)s::timestamptz + %(open_seconds)s * interval '1 second'
    on conflict (actor_name) do update
       set schedule = excluded.schedule, zone = excluded.zone,
           last_slot_at = excluded.last_slot_at, due_at = excluded.due_at
     where s.last_slot_at is null
        or s.last_slot_at < excluded.last_slot_at
        or s.last_slot_at > now() + interval '3 hours'
    returning s.last_slot_at
)
insert into pgbroker.slots (actor_name, slot_at, message_id)
select %(actor_name)s, t.last_slot_at, %(message_id)s::uuid from turn t
on conflict do nothing
returning slot_at
