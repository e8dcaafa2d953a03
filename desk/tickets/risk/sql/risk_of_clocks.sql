-- The probabilities of an organization's running resolution clocks, one row; late ones only counted; none where
-- predictions are switched off. Called by desk.tickets.risk.forecast; indexes: sla_clocks_running, primary keys of
-- breach_predictions and organization_settings.
select count(*) filter (where not now_late) as running,
       count(*) filter (where now_late) as late,
       coalesce(array_agg(probability) filter (where not now_late and probability is not null), '{}') as probabilities
  from (select p.probability,
               c.crossed = 100 or coalesce(happening_at() > c.due_at, false) as now_late
          from sla_clocks c
          join organization_settings o on o.organization_id = c.organization_id
          left join breach_predictions p on p.organization_id = c.organization_id and p.ticket_id = c.ticket_id and o.predict
         where c.organization_id = %(organization_id)s and c.state = 'running' and c.metric = 'resolution') clock
