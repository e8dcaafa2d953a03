-- The versions of an organization's triage models. Called by desk.tickets.triage.triage_models.listed; index: primary key.
select what, version, state, fitted_at, begun_at, labels, newest_label, figures, compared_version, compared_figures, reason,
       coalesce(length(model), 0) as bytes, embed_model
  from triage_models
 where organization_id = %(organization_id)s and what = coalesce(%(what)s, what)
 order by what, version desc
