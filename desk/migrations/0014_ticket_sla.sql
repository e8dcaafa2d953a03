-- What a person reads: every clock as it stands at the moment of reading. Nothing in it is stored.
--
-- Row-level security applies to whoever reads. From Postgres 15 on the view runs with the reader's rights; before, it would
-- run with its owner's, and therefore names the organization itself.

do $migration$
declare
    modern constant boolean := current_setting('server_version_num')::integer >= 150000;
begin
    execute $view$
        create view ticket_sla as
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
               c.policy_version_id, c.calendar_version_id, c.reason
          from sla_clocks c
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

comment on view ticket_sla is
    'One row per ticket, metric and cycle. state: running, breached, paused, paused_breached, met.';
comment on column ticket_sla.time_to_breach_minutes is 'By the wall clock, rounded down; negative: since then. Null: it stands.';
comment on column ticket_sla.business_minutes_left is 'Minutes of open hours that are left of the target; negative: over it.';
