-- Who a mail is from and for whom it is worded, and how many notices of each kind it tells. Called by desk.notices.outbox;
-- served by primary keys and notification_deliveries_of_dispatch.
select o.name as organization, s.mail_from, coalesce(a.timezone, s.timezone, 'UTC') as timezone, now() as now,
       (select jsonb_object_agg(k.kind, k.notices)
          from (select d.kind, count(*) as notices from notification_deliveries d
                 where d.organization_id = %(organization_id)s and d.dispatch_id = %(id)s group by 1) k) as counts
  from organizations o
  left join notice_settings s on s.organization_id = o.id
  left join notice_agents a on a.organization_id = o.id and a.agent = %(agent)s
 where o.id = %(organization_id)s;
