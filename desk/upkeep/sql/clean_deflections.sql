-- Counts of what was offered before a ticket, beyond keep_events_days. Called by desk.upkeep.retention; index:
-- deflections_by_age.
delete from deflections
 where id in (
       select d.id
         from deflections d
        where d.organization_id = %(organization_id)s
          and d.shown_at < (select now() - make_interval(days => s.keep_events_days) from organization_settings s
                             where s.organization_id = %(organization_id)s)
        limit %(batch)s)
