-- Calendar versions of an organization that are in use and not worked out until then, with their open seconds so far.
-- Called by desk.sla.periods.extend; the lock makes two of them take turns.
-- Served by calendar_versions' unique (calendar_id, version), sla_clocks_by_calendar, calendar_periods' primary key.
select v.id, v.definition, v.covered_to,
       coalesce((select p.open_seconds_before + extract(epoch from p.closes_at - p.opens_at)::bigint
                   from calendar_periods p where p.calendar_version_id = v.id
                  order by p.opens_at desc limit 1), 0)
  from calendar_versions v
 where v.organization_id = %(organization_id)s
   and v.covered_to < %(until)s
   and (v.version = (select max(w.version) from calendar_versions w where w.calendar_id = v.calendar_id)
        or exists (select from sla_clocks c where c.calendar_version_id = v.id and c.state <> 'stopped'))
 order by v.id
   for no key update of v;
