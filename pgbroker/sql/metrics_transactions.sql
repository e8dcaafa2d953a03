-- Transactions that keep deleted rows of this database: who holds each, since when (seconds; null where this login may not
-- see it), and a mark that stays the same as long as it is the same one. Called by pgbroker.metrics. Never what was asked.
-- Whoever has neither a snapshot nor an id keeps nothing, however long the transaction is open.
select 'Backend ' || a.pid as holder,
       concat_ws(', ', 'user ' || a.usename, 'application ' || nullif(a.application_name, ''), a.state) as description,
       extract(epoch from clock_timestamp() - a.xact_start)::double precision as age_seconds,
       coalesce(a.xact_start::text, a.backend_xid::text, a.backend_xmin::text) as mark
  from pg_stat_activity a
 where a.datname = current_database() and a.pid <> pg_backend_pid()
   and a.usesysid is not null  -- autovacuum, whose snapshot keeps nothing
   and coalesce(a.backend_type, 'client backend') = 'client backend'
   and (a.backend_xid is not null or a.backend_xmin is not null)
union all
select 'Prepared transaction ' || p.gid, 'user ' || p.owner,
       extract(epoch from clock_timestamp() - p.prepared)::double precision, p.prepared::text
  from pg_prepared_xacts p
 where p.database = current_database()
