-- Drafts quote what has helped: they look among the tickets that have an answer, however many others have come since.
create index ticket_resolutions_by_age on ticket_resolutions (organization_id, model, created_at);
