-- A worker process begins. Called by Lifeline, once per process and again after its row was taken away.
insert into pgbroker.processes (process_id, host, pid, queues, lease_seconds, backend_pid)
values (%(process_id)s::uuid, %(host)s, %(pid)s, %(queues)s::text[], %(lease_seconds)s, pg_backend_pid())
