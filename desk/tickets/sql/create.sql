-- One new ticket. Called by desk.tickets.store.create; triggers write its events and send its jobs.
insert into tickets (organization_id, subject, body, status, priority, category, category_by, tags, language, requester,
                     assignee, created_at)
values (%(organization_id)s, %(subject)s, %(body)s, %(status)s, %(priority)s, %(category)s,
        case when %(category)s::text is not null then 'person' end, %(tags)s::text[], %(language)s, %(requester)s, %(assignee)s,
        coalesce(%(created_at)s, now()))
returning id
