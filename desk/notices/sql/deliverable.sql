-- A notification, locked, and what its organization and its recipient want of it. Called by desk.sla.notifications
-- and desk.notices.store. Served by the primary keys. Nulls where nothing was ever set.
select n.id, n.organization_id, n.kind, n.recipient, n.ticket_id::text, n.metric, n.threshold,
       n.delivered_at is not null as again, happening_at() as at,
       s.mail_on, s.timezone, s.mail_kinds, s.queue_addresses, s.gather_seconds, s.quiet_hours, s.quiet_holds,
       a.address as agent_address, a.mail_on as agent_mail_on, a.mail_kinds as agent_kinds,
       a.timezone as agent_timezone, a.quiet_hours as agent_quiet_hours, a.quiet_holds as agent_quiet_holds,
       (select array_agg(w.name order by w.name) from notice_webhooks w
         where w.organization_id = n.organization_id and w.is_on and (n.kind = any (w.kinds) or n.kind = 'test')) as webhooks
  from notifications n
  left join notice_settings s on s.organization_id = n.organization_id
  left join notice_agents a on a.organization_id = n.organization_id and a.agent = n.recipient
 where n.id = %(id)s
   for no key update of n;
