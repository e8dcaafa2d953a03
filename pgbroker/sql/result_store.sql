-- Store results, and drop a few that nobody may read any more. Called by Finisher with the finish of their messages, and
-- by PostgresBackend. Served by results_pkey and results_by_end. message_ids, results, ttls_ms: arrays of the same length.
with expired as (
    select message_id from pgbroker.results
     where expires_at < now() and message_id <> all (%(message_ids)s::uuid[])
     order by expires_at limit 10 for update skip locked
), dropped as (
    delete from pgbroker.results where message_id = any (array(select message_id from expired))
)
insert into pgbroker.results (message_id, result, expires_at)
select message_id, result, now() + ttl_ms * interval '1 millisecond'
  from unnest(%(message_ids)s::uuid[], %(results)s::bytea[], %(ttls_ms)s::float8[]) r (message_id, result, ttl_ms)
 order by message_id
on conflict (message_id) do update set result = excluded.result, expires_at = excluded.expires_at
