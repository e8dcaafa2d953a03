-- A stored result. Called by PostgresBackend. Served by results_pkey.
select result from pgbroker.results where message_id = %(message_id)s::uuid and expires_at > now()
