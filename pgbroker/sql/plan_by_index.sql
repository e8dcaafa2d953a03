-- Plans of this session go by index, whatever the statistics of a moment say, and are made once: planning a claim takes
-- longer than running it, and as arrays of unknown length look dear, Postgres would never settle by itself. Each statement
-- sees what was committed before it, whatever the database's default: who takes what others take at the same time would fail
-- at every meeting. Called by Line on a new connection.
select set_config(name, setting, false)
  from (values ('enable_seqscan', 'off'), ('enable_bitmapscan', 'off'), ('enable_hashjoin', 'off'),
               ('enable_mergejoin', 'off'), ('plan_cache_mode', 'force_generic_plan'),
               ('default_transaction_isolation', 'read committed')) s (name, setting)
