-- The probability of a breach beside the time to it.

-- Rewritten every quarter of an hour for each running clock: room for the new version beside the old.
alter table breach_predictions set (fillfactor = 60);

-- As in 0014, with three columns more. The score is that of predict_sla and of the tick that makes it anew; whether it holds at
-- all is seen at the moment of reading: a clock that stands or has stopped has none, one that is late breaches for certain.
do $migration$
declare
    modern constant boolean := current_setting('server_version_num')::integer >= 150000;
begin
    execute $view$
        create or replace view ticket_sla as
        select c.organization_id, c.ticket_id, c.metric, c.cycle,
               case when c.state = 'stopped' then c.outcome
                    when c.crossed = 100 or late.is_late then
                         case c.state when 'paused' then 'paused_breached' else 'breached' end
                    else c.state end as state,
               c.priority, c.target_seconds, c.started_at, c.stopped_at, c.due_at, c.next_threshold, c.next_event_at,
               case when c.state = 'running'
                    then floor(extract(epoch from c.due_at - clock.at) / 60)::integer end as time_to_breach_minutes,
               round((c.target_seconds - spent.seconds) / 60, 2) as business_minutes_left,
               round(spent.seconds, 6) as elapsed_seconds,
               round(100 * spent.seconds / c.target_seconds, 1) as percent_used,
               c.crossed = 100 or late.is_late as breached,
               c.policy_version_id, c.calendar_version_id, c.reason,
               case when c.metric = 'resolution' and c.state = 'running'
                    then case when c.crossed = 100 or late.is_late then 1 else p.probability end end as sla_risk_score,
               case when c.metric <> 'resolution' then 'only the resolution is predicted'
                    when c.state = 'stopped' then 'no running clock: it has stopped'
                    when c.state = 'paused' then 'no running clock: it is paused'
                    when c.crossed = 100 or late.is_late then null
                    when p.ticket_id is null or p.reason like 'no running clock%' then 'not predicted yet'
                    else p.reason end as sla_risk_reason,
               case when c.metric = 'resolution' and c.state = 'running' and not (c.crossed = 100 or late.is_late)
                    then p.predicted_at end as sla_risk_at
          from sla_clocks c
          left join breach_predictions p on (p.organization_id, p.ticket_id) = (c.organization_id, c.ticket_id)
         cross join lateral (
            select coalesce(nullif(current_setting('app.at', true), '')::timestamptz, statement_timestamp()) as at) as clock
         cross join lateral (
            select c.used_seconds + case when c.state = 'running'
                   then business_elapsed(c.calendar_version_id, c.running_since, clock.at) else 0 end as seconds) as spent
         cross join lateral (
            select c.state = 'running' and coalesce(clock.at > c.due_at and clock.at > c.running_since, false) as is_late) as late
        $view$ || case when modern then '' else 'where c.organization_id = current_organization()' end;
    if modern then
        alter view ticket_sla set (security_invoker = true);
    end if;
end $migration$;

comment on column ticket_sla.sla_risk_score is 'Probability, 0 to 1, that the running resolution clock breaches; null for sla_risk_reason.';
comment on column ticket_sla.sla_risk_reason is 'Why there is no score.';
comment on column ticket_sla.sla_risk_at is 'When the score was worked out; null where it is not from a prediction.';

-- For the tick, which belongs to nobody: which organizations want it.
create function organizations_that_predict() returns table (organization_id uuid)
    language sql stable security definer set search_path = public, pg_temp as $$
    select s.organization_id from organization_settings s where s.predict order by 1
$$;
comment on function organizations_that_predict is 'Ids of the organizations with predictions switched on; no row of anybody''s.';
