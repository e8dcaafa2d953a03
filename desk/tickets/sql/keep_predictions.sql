-- Many predictions at once, for tickets that are still there. Called by desk.tickets.results.keep_predictions; index: primary
-- keys of tickets and breach_predictions.
insert into breach_predictions (organization_id, ticket_id, probability, reason, basis)
select t.organization_id, t.id, v.probability::double precision, v.reason, v.basis::jsonb
  from (values %s) as v (organization_id, ticket_id, probability, reason, basis)
  join tickets t on (t.organization_id, t.id) = (v.organization_id::uuid, v.ticket_id::uuid)
 order by t.id
   for key share of t
on conflict (organization_id, ticket_id) do update
   set (probability, reason, basis, predicted_at) = (excluded.probability, excluded.reason, excluded.basis, now())
returning 1
