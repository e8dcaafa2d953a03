-- Mails and webhooks over all organizations, for /metrics (app.web.metrics). The function's own text (0030_notices.sql) says
-- which indexes serve it.
select * from notice_figures()
