-- One triage per ticket and revision; a second run replaces the first, unless that was applied. Called by
-- desk.tickets.results.keep_triage; index: primary key.
insert into triage_results (organization_id, ticket_id, revision, outcome, category, category_confidence, priority,
                            priority_confidence, intent, intent_confidence, tags, evidence, reason, method, model, calibrated,
                            model_version)
values (%(organization_id)s, %(ticket_id)s, %(revision)s, %(outcome)s, %(category)s, %(category_confidence)s, %(priority)s,
        %(priority_confidence)s, %(intent)s, %(intent_confidence)s, %(tags)s, %(evidence)s, %(reason)s, %(method)s,
        %(model)s, %(calibrated)s, %(model_version)s)
on conflict (organization_id, ticket_id, revision) do update
   set (outcome, category, category_confidence, priority, priority_confidence, intent, intent_confidence, tags, evidence,
        reason, method, model, calibrated, model_version, created_at) =
       (excluded.outcome, excluded.category, excluded.category_confidence, excluded.priority, excluded.priority_confidence,
        excluded.intent, excluded.intent_confidence, excluded.tags, excluded.evidence, excluded.reason, excluded.method,
        excluded.model, excluded.calibrated, excluded.model_version, now())
 where triage_results.outcome <> 'applied' or excluded.outcome = 'applied'
