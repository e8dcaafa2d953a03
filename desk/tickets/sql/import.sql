-- A page of imported tickets. Called by desk.tickets.imports.store_all through execute_values; triggers write their events
-- and, for those that are new, send their jobs.
insert into tickets (organization_id, subject, body, category, priority, status, created_at, first_response_at, resolved_at,
                     requester, assignee, language, tags, intent, category_by, tags_by, intent_by)
values %s
