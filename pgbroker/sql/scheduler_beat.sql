-- A scheduler lives. Called by Scheduler with every round. Served by schedulers_pkey. Losing the commit is harmless: no
-- fsync for it.
with quiet as materialized (select set_config('synchronous_commit', 'off', true))
insert into pgbroker.schedulers as s (scheduler_id, host, pid, started_at, beat_at, actors)
select %(scheduler_id)s::uuid, %(host)s, %(pid)s, %(started_at)s::timestamptz, now(), %(actors)s::text[] from quiet
on conflict (scheduler_id) do update set beat_at = excluded.beat_at
