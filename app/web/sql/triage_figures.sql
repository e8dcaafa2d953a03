-- What people made of triage's answers over all organizations, for /metrics (app.web.metrics). The function's own text
-- (0035_triage_feedback.sql) says which index serves it.
select * from triage_figures()
