-- Whoever switches predictions off is shown none: those of before stay where they are, and grow old.

-- As in 0031, but a running clock has a score only where the organization has predictions switched on.
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
               case when c.metric = 'resolution' and c.state = 'running' and o.predict
                    then case when c.crossed = 100 or late.is_late then 1 else p.probability end end as sla_risk_score,
               case when c.metric <> 'resolution' then 'only the resolution is predicted'
                    when c.state = 'stopped' then 'no running clock: it has stopped'
                    when c.state = 'paused' then 'no running clock: it is paused'
                    when o.predict is not true then 'predictions are switched off'
                    when c.crossed = 100 or late.is_late then null
                    when p.ticket_id is null or p.reason like 'no running clock%' then 'not predicted yet'
                    else p.reason end as sla_risk_reason,
               case when c.metric = 'resolution' and c.state = 'running' and o.predict
                         and not (c.crossed = 100 or late.is_late)
                    then p.predicted_at end as sla_risk_at
          from sla_clocks c
          left join organization_settings o on o.organization_id = c.organization_id
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

-- As in 0032, but a forecast made before the switch is nobody's either.
create or replace function risk_figures(out expected double precision, out unpredicted bigint)
    language sql stable security definer set search_path = public, pg_temp as $$
    select sum(f.expected), coalesce(sum(f.running - f.predicted), 0)
      from breach_forecasts f
      join organization_settings s on s.organization_id = f.organization_id and s.predict
     where f.taken_at > now() - interval '1 hour'
$$;
