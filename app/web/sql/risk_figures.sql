-- Expected breaches over all organizations, for /metrics (app.web.metrics). The function's own text (0032_breach_forecasts.sql)
-- says what it reads: a row per organization.
select * from risk_figures()
