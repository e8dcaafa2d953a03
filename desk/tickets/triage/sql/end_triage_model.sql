-- What became of a fit. Called by desk.tickets.triage.triage_models.end, which sees by the count whether it was still wanted; index:
-- primary key.
update triage_models
   set state = %(state)s, reason = %(reason)s, fitted_at = now(), labels = %(labels)s, newest_label = %(newest_label)s,
       ticket_ids = %(ticket_ids)s::uuid[], model = %(model)s, figures = %(figures)s,
       compared_version = %(compared_version)s, compared_figures = %(compared_figures)s
 where organization_id = %(organization_id)s and what = %(what)s and version = %(version)s and state = 'building'
