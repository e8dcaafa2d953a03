-- Deliveries of one organization that were dropped, after its keep_finished_days. Called by desk.upkeep.retention; index:
-- notification_deliveries_by_age.
delete from notification_deliveries
 where (notification_id, channel, address) in (
       select d.notification_id, d.channel, d.address
         from notification_deliveries d
        where d.organization_id = %(organization_id)s and d.dropped is not null
          and d.created_at < (select now() - make_interval(days => s.keep_finished_days) from organization_settings s
                               where s.organization_id = %(organization_id)s)
        order by d.created_at
        limit %(batch)s)
