-- What a post says and where it goes. Called by desk.notices.outbox; served by primary keys and
-- notification_deliveries_of_dispatch. Url and secret are null where the webhook is gone or off.
select w.url, w.secret, o.name as organization, n.id::text as notification_id, n.kind, n.recipient, n.created_at,
       n.ticket_id::text, n.metric, n.cycle, n.threshold, n.detail
  from notification_deliveries d
  join notifications n on n.id = d.notification_id
  join organizations o on o.id = d.organization_id
  left join notice_webhooks w on w.organization_id = d.organization_id and w.name = d.address and w.is_on
 where d.organization_id = %(organization_id)s and d.dispatch_id = %(id)s;
