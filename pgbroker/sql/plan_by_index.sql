-- Plans of this session go by index, whatever the statistics of a moment say, and are made once: planning a claim takes
-- longer than running it, and as arrays of unknown length look dear, Postgres would never settle by itself. Called by Line
-- on a new connection.
select set_config(name, setting, false)
  from (values ('enable_seqscan', 'off'), ('enable_bitmapscan', 'off'), ('enable_hashjoin', 'off'),
               ('enable_mergejoin', 'off'), ('plan_cache_mode', 'force_generic_plan')) s (name, setting)
