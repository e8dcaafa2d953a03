-- Which embedding models are in use, for /metrics (app.web.metrics): one look per organization (0042_kb_checks.sql).
select * from model_figures()
