-- What an agent did with the draft that there is, if it is the one made at made_at (null: whichever); decided anew, the last decision
-- stands. Called by desk.tickets.offers.offering, which sees by the count whether there was that draft; index: primary keys.
insert into draft_outcomes (organization_id, ticket_id, draft_created_at, method, outcome, agent)
select d.organization_id, d.ticket_id, d.created_at, d.method, %(outcome)s, %(agent)s
  from drafts d
 where d.organization_id = %(organization_id)s and d.ticket_id = %(ticket_id)s and d.body is not null
   and d.created_at = coalesce(%(made_at)s::timestamptz, d.created_at)
on conflict (organization_id, ticket_id, draft_created_at) do update
   set (outcome, agent, at) = (excluded.outcome, excluded.agent, now())
