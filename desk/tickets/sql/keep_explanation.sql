-- One explanation per triage, of the category that it has now. Called by desk.tickets.results.keep_explanation; index: primary
-- keys.
insert into triage_explanations (organization_id, ticket_id, revision, category, second_opinion, text, method)
select r.organization_id, r.ticket_id, r.revision, r.category, %(second_opinion)s, %(text)s, %(method)s
  from triage_results r
 where r.organization_id = %(organization_id)s and r.ticket_id = %(ticket_id)s and r.revision = %(revision)s
   and r.category = %(category)s
on conflict (organization_id, ticket_id, revision) do update
   set (category, second_opinion, text, method, created_at) =
       (excluded.category, excluded.second_opinion, excluded.text, excluded.method, now())
