-- Notifications of one organization beyond its keep_events_days, read or not, once none of their mails and posts is still to
-- leave (held by quiet hours, or tried again). Called by desk.upkeep.retention; index: notifications_by_age. What was crossed
-- stays in sla_crossings: nothing is told anew.
delete from notifications
 where id in (
       select n.id
         from notifications n
        where n.organization_id = %(organization_id)s and n.delivered_at is not null
          and n.created_at < (select now() - make_interval(days => s.keep_events_days) from organization_settings s
                               where s.organization_id = %(organization_id)s)
          and not exists (select from notification_deliveries d
                            left join dispatches o on (o.organization_id, o.id) = (d.organization_id, d.dispatch_id)
                           where d.notification_id = n.id and d.dropped is null
                             and (d.dispatch_id is null or o.state = 'waiting'))
        limit %(batch)s)
