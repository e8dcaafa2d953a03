-- The draft of a ticket and what an agent did with it. Called by desk.tickets.offers.offering; indexes: primary keys.
select d.body, d.citations, d.reason, d.method, d.revision, d.stale, d.created_at as made_at, o.outcome, o.agent,
       o.at as decided_at
  from drafts d
  left join draft_outcomes o
    on o.organization_id = d.organization_id and o.ticket_id = d.ticket_id and o.draft_created_at = d.created_at
 where d.organization_id = %(organization_id)s and d.ticket_id = %(ticket_id)s
