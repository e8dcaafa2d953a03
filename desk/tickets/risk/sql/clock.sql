-- The resolution clock of one ticket: its newest cycle. Called by desk.tickets.risk.risk_history; index: primary key of sla_clocks.
select state, stopped_at is not null as stopped, elapsed_seconds::double precision as elapsed_seconds,
       target_seconds::double precision as target_seconds, due_at, calendar_version_id,
       extract(epoch from started_at)::double precision as started_at
  from ticket_sla
 where organization_id = %(organization_id)s and ticket_id = %(ticket_id)s and metric = 'resolution'
 order by cycle desc
 limit 1
