-- Plans of this session go by index, whatever the statistics of a moment say. Called by Line on a new connection.
select set_config(name, 'off', false)
  from unnest(array['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin']) name
