-- One prediction per ticket, the newest. Called by desk.tickets.results.keep_prediction; index: primary key.
insert into breach_predictions (organization_id, ticket_id, probability, reason, basis)
values (%(organization_id)s, %(ticket_id)s, %(probability)s, %(reason)s, %(basis)s)
on conflict (organization_id, ticket_id) do update
   set (probability, reason, basis, predicted_at) = (excluded.probability, excluded.reason, excluded.basis, now())
