-- A worker process begins. Called by Lifeline, once per process and again after its row was taken away.
insert into pgbroker.processes (process_id, host, pid, queues, lease_seconds, backend_pid, beat_due_at)
values (%(process_id)s::uuid, %(host)s, %(pid)s, %(queues)s::text[], %(lease_seconds)s, %(backend_pid)s,
        now() + %(due_seconds)s * interval '1 second')
