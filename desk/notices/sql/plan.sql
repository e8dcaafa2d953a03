-- The ways out of a notification, each with its message. Called by desk.sla.notifications; the primary key keeps it to one each.
-- Mails of one recipient share a message while it waits: what quiet hours hold has one of its own, at their end. Posts to one
-- webhook run one at a time: a receiver that hangs takes one thread, not all.
with way as materialized (
    select w.*, n.kind, n.organization_id
      from notifications n,
           jsonb_to_recordset(%(ways)s) as w (
           channel text, address text, agent text, held_until timestamptz, dispatch_id uuid)
     where n.id = %(id)s
), post as (
    insert into dispatches (id, organization_id, channel, address)
    select w.dispatch_id, w.organization_id, w.channel, w.address from way w where w.channel = 'webhook'
    on conflict do nothing
), planned as (
    insert into notification_deliveries (organization_id, notification_id, channel, address, agent, kind, held_until, dispatch_id)
    select w.organization_id, %(id)s, w.channel, w.address, w.agent, w.kind, w.held_until, w.dispatch_id from way w
    on conflict do nothing
    returning *
)
select case p.channel
       when 'webhook' then
           pgbroker.enqueue('post_webhook', jsonb_build_array(p.organization_id, p.dispatch_id), queue => 'notices',
                            tenant => p.organization_id::text,
                            run_key => format('post_webhook:%%s:%%s', p.organization_id, p.address))
       else
           pgbroker.enqueue('gather_mail', jsonb_build_array(p.organization_id, p.address, p.agent), queue => 'notices',
                            delay => greatest(p.held_until - clock_timestamp(), make_interval(secs => %(gather_seconds)s)),
                            unique_key => format('gather_mail:%%s:%%s:%%s:%%s', p.organization_id, p.address, p.agent,
                                                 extract(epoch from p.held_until)),
                            tenant => p.organization_id::text)
       end
  from planned p;
