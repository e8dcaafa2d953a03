-- Finished messages of one organization beyond its keep_finished_days. Called by desk.upkeep.retention; index:
-- finished_by_age.
delete from pgbroker.finished
 where message_id in (
       select f.message_id
         from pgbroker.finished f
        where f.tenant = %(tenant)s
          and f.finished_at < (select now() - make_interval(days => s.keep_finished_days) from organization_settings s
                                where s.organization_id = %(organization_id)s)
        order by f.finished_at
        limit %(batch)s)
