-- The knowledge base's coverage and the sweep's lateness over all organizations, for /metrics (app.web.metrics). The
-- function's own text (0020_figures.sql) says which indexes serve it.
select * from desk_figures()
