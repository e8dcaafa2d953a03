-- The newest deliveries of an organization. Called by desk.notices.store; served by notification_deliveries_by_age.
select d.created_at, d.kind, n.detail ->> 'subject' as subject, d.channel, d.address, d.agent,
       case when d.dropped is not null then 'dropped' else coalesce(o.state, 'waiting') end as state,
       coalesce(o.attempts, 0) as attempts, coalesce(d.dropped, o.error) as reason, d.held_until, o.ended_at,
       d.notification_id::text, d.dispatch_id::text
  from notification_deliveries d
  join notifications n on n.id = d.notification_id
  left join dispatches o on (o.organization_id, o.id) = (d.organization_id, d.dispatch_id)
 where d.organization_id = %(organization_id)s
 order by d.created_at desc, d.notification_id, d.channel, d.address
 limit %(limit)s;
