-- Store a result, and drop a few that nobody may read any more. Called by PostgresBackend.
-- Served by results_pkey and results_by_end.
with expired as (
    select message_id from pgbroker.results
     where expires_at < now() and message_id <> %(message_id)s::uuid
     order by expires_at limit 10 for update skip locked
), dropped as (
    delete from pgbroker.results where message_id in (select message_id from expired)
)
insert into pgbroker.results (message_id, result, expires_at)
values (%(message_id)s::uuid, %(result)s, now() + %(ttl_ms)s * interval '1 millisecond')
on conflict (message_id) do update set result = excluded.result, expires_at = excluded.expires_at
