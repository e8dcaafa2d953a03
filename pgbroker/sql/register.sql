-- A worker process begins. Called by Lifeline, once per process and again after its row was taken away; where the row is
-- there, the answer to the first attempt was lost.
insert into pgbroker.processes (process_id, host, pid, queues, lease_seconds, backend_pid, beat_due_at, hears_until)
values (%(process_id)s::uuid, %(host)s, %(pid)s, %(queues)s::text[], %(lease_seconds)s, %(backend_pid)s,
        now() + %(due_seconds)s * interval '1 second',
        case when %(hears)s then now() + %(hears_seconds)s * interval '1 second' end)
on conflict (process_id) do update
   set beat_at = now(), backend_pid = excluded.backend_pid, beat_due_at = excluded.beat_due_at,
       hears_until = excluded.hears_until
