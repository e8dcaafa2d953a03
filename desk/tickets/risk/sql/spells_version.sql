-- How many closed tickets there are to learn from, and how many of them were closed since the last fit. Called by
-- desk.tickets.risk.risk_history before a fitted model is used again; index: tickets_resolved.
select count(*), count(*) filter (where resolved_at > %(known_until)s), max(resolved_at)
  from (select resolved_at
          from tickets
         where organization_id = %(organization_id)s and resolved_at is not null and status in ('resolved', 'closed')
           and resolved_at > accepted_at
         order by resolved_at desc
         limit %(newest)s) t
