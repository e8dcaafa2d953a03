-- What triage, sentiment and prediction found out about a ticket, one document each, null where there is none. Called by
-- desk.tickets.findings; indexes: primary keys. A probability is that of the running clock, as ticket_sla shows it: one that stands
-- or has stopped has none any more.
select (select to_jsonb(r) - '{organization_id,ticket_id}'::text[]
               || jsonb_build_object('current', r.revision = %(revision)s,
                                     'explanation', (select to_jsonb(e) - '{organization_id,ticket_id,revision}'::text[]
                                                       from triage_explanations e
                                                      where e.organization_id = r.organization_id
                                                        and e.ticket_id = r.ticket_id and e.revision = r.revision
                                                        and e.category = r.category))
          from triage_results r
         where r.organization_id = %(organization_id)s and r.ticket_id = %(ticket_id)s
         order by r.revision desc
         limit 1) as triage,
       (select to_jsonb(s) - '{organization_id,ticket_id}'::text[]
               || jsonb_build_object('current', s.revision = %(revision)s)
          from sentiments s
         where s.organization_id = %(organization_id)s and s.ticket_id = %(ticket_id)s) as sentiment,
       (select to_jsonb(p) - '{organization_id,ticket_id}'::text[]
               || coalesce((select jsonb_build_object('probability', v.sla_risk_score, 'reason', v.sla_risk_reason)
                              from ticket_sla v
                             where v.organization_id = p.organization_id and v.ticket_id = p.ticket_id
                               and v.metric = 'resolution'
                             order by v.cycle desc
                             limit 1), '{}')
          from breach_predictions p
         where p.organization_id = %(organization_id)s and p.ticket_id = %(ticket_id)s) as prediction
