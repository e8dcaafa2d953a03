-- How many tickets the organization has in hand at this moment, of each status no more than `most`, as the model has learnt
-- from. Called by desk.tickets.risk.risk_history; index: tickets_by_status.
select sum(o.n)::integer
  from unnest('{accepted,assigned,in_progress,waiting_customer}'::text[]) as s (status)
 cross join lateral (select count(*) as n
                       from (select from tickets t
                              where t.organization_id = %(organization_id)s and t.status = s.status
                              limit %(most)s) few) o
