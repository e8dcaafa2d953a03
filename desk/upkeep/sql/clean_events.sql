-- Ticket events of one organization beyond its keep_events_days. Called by desk.upkeep.retention; index:
-- ticket_events_by_age.
delete from ticket_events
 where id in (
       select e.id
         from ticket_events e
        where e.organization_id = %(organization_id)s
          and e.at < (select now() - make_interval(days => s.keep_events_days) from organization_settings s
                       where s.organization_id = %(organization_id)s)
        order by e.at
        limit %(batch)s)
