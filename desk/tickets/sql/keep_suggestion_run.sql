-- That articles were searched for a ticket, when, and how many were found, unless a later search is there. Called by
-- desk.tickets.results.keep_suggestions, which sees by the count whether it was; index: primary key.
insert into suggestion_runs (organization_id, ticket_id, ticket_revision, articles, made_at)
values (%(organization_id)s, %(ticket_id)s, %(revision)s, %(articles)s, coalesce(%(searched_at)s, now()))
on conflict (organization_id, ticket_id) do update
   set (ticket_revision, articles, made_at) = (excluded.ticket_revision, excluded.articles, excluded.made_at)
 where suggestion_runs.made_at <= excluded.made_at
