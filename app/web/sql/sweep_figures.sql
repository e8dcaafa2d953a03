-- What the last sweep found, for /metrics (app.web.metrics). Served by sla_sweeps' primary key.
select seconds, processed, skipped_null_sla, skipped_paused, crossings, seconds_late_p50, seconds_late_p99
  from sla_sweeps order by id desc limit 1
