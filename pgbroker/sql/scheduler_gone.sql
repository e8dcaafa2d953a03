-- A scheduler ends. Called by Scheduler. Served by schedulers_pkey.
delete from pgbroker.schedulers where scheduler_id = %(scheduler_id)s::uuid
