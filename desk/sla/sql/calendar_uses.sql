-- What uses a calendar: current policies by name, clocks that run or stand, clocks that are done (or have a finished span by
-- it). No row where there is no such calendar. Called by desk.sla.published before a calendar is deleted.
-- Finished clocks and spans have no index by calendar: this reads them all, and somebody deletes a calendar once a year.
select c.id,
       array(select p.name from sla_policies p
               join lateral (select * from sla_policy_versions w where w.policy_id = p.id
                              order by w.version desc limit 1) w on true
              where p.organization_id = c.organization_id and p.retired_at is null and w.calendar_id = c.id
              order by p.name) as policies,
       count(*) filter (where k.state <> 'stopped' and k.own) as live,
       count(*) filter (where k.state = 'stopped' or not k.own) as done
  from calendars c
  left join calendar_versions v on v.calendar_id = c.id
  left join lateral (
        select o.state, true as own from sla_clocks o where o.calendar_version_id = v.id
        union all
        select o.state, false from sla_clocks o
         where o.calendar_version_id is distinct from v.id
           and exists (select from sla_spans s where (s.ticket_id, s.metric, s.cycle) = (o.ticket_id, o.metric, o.cycle)
                          and s.calendar_version_id = v.id)) k on true
 where c.organization_id = %(organization_id)s and c.name = %(name)s
 group by c.id;
