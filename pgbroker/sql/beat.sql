-- One beat keeps every lease of a process. Returns whether some other process has missed its own, and which messages held
-- here somebody wants cancelled; no row: ours was taken away, and every lease with it. Called by Lifeline. Served by
-- processes_pkey and queue_cancelled. watches: it has nothing to do and takes turns in looking.
-- Losing a beat's commit is harmless: no fsync for it. Those of idle processes are so rare that they wait for the disk
-- all the same; otherwise the server's WAL writer would stay awake for them.
with quiet as materialized (
    select set_config('synchronous_commit',
                      case when %(watches)s then current_setting('synchronous_commit') else 'off' end, true)
)
update pgbroker.processes p
   set beat_at = now(),
       beat_due_at = now() + %(due_seconds)s * interval '1 second',
       backend_pid = %(backend_pid)s,
       queues = %(queues)s::text[],
       counters = coalesce(%(counters)s::jsonb, p.counters),
       watches_until = case when %(watches)s then now() + %(due_seconds)s * interval '1 second' end,
       hears_until = case when %(hears)s then now() + %(hears_seconds)s * interval '1 second' end
  from quiet
 where p.process_id = %(process_id)s::uuid
returning exists (select from pgbroker.processes o where coalesce(o.beat_due_at, o.beat_at + interval '1.3 s') < now()),
          array(select q.message_id::text from dramatiq.queue q
                 where q.process_id = %(process_id)s::uuid and q.cancel_at is not null and q.state = 'consumed')
