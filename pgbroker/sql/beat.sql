-- One beat keeps every lease of a process. Returns whether some other process has missed its own; no row: ours was
-- taken away, and every lease with it. Called by Lifeline twice a second. Losing a beat's commit is harmless: no fsync
-- for it.
with quick as materialized (select set_config('synchronous_commit', 'off', true))
update pgbroker.processes
   set beat_at = now(), backend_pid = pg_backend_pid(), queues = %(queues)s::text[]
  from quick
 where process_id = %(process_id)s::uuid
returning exists (select from pgbroker.processes o where o.beat_at < now() - %(missed_seconds)s * interval '1 second')
