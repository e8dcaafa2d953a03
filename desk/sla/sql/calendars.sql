-- The calendars of an organization, their newest versions, and what counts by any version of theirs.
-- Called by desk.sla.published. Served by calendar_versions' unique (calendar_id, version), sla_policy_versions' unique
-- (policy_id, version), sla_clocks_by_calendar for the clocks that are not stopped.
select c.name, v.version, v.definition ->> 'timezone' as timezone, v.published_at,
       (select count(*) from sla_policies p
          join lateral (select * from sla_policy_versions w where w.policy_id = p.id order by w.version desc limit 1) w on true
         where p.organization_id = c.organization_id and p.retired_at is null and w.calendar_id = c.id) as policies,
       (select count(*) from calendar_versions o
          join sla_clocks k on k.calendar_version_id = o.id and k.state <> 'stopped'
         where o.calendar_id = c.id) as clocks,
       v.definition
  from calendars c
  join lateral (select * from calendar_versions w where w.calendar_id = c.id order by w.version desc limit 1) v on true
 where c.organization_id = %(organization_id)s
 order by c.name;
