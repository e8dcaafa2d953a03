-- That articles were searched for a ticket, when, and how many were found. Called by desk.tickets.results.keep_suggestions;
-- index: primary key.
insert into suggestion_runs (organization_id, ticket_id, ticket_revision, articles, made_at)
values (%(organization_id)s, %(ticket_id)s, %(revision)s, %(articles)s, coalesce(%(searched_at)s, now()))
on conflict (organization_id, ticket_id) do update
   set (ticket_revision, articles, made_at) = (excluded.ticket_revision, excluded.articles, excluded.made_at)
