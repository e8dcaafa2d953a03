-- Coverage, pace and the last hourly look over all organizations, for /metrics (app.web.metrics). The function's own text
-- (0042_kb_checks.sql) says what it reads.
select * from kb_figures()
