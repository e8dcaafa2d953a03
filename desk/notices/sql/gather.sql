-- Make one mail of all that waits for a recipient, and send its message. Called by desk.notices.gathering, in one transaction
-- with the end of its own message; served by notification_deliveries_waiting. Two at once: the second finds nothing.
-- What is not to be told by mail any more is dropped, with the reason. Returns (mail's id or null, told, dropped).
with ready as materialized (
    select d.notification_id, d.channel, d.address, d.kind, d.agent
      from notification_deliveries d
     where d.organization_id = %(organization_id)s and d.channel = 'mail' and d.address = %(address)s
       and d.agent is not distinct from %(agent)s
       and d.dispatch_id is null and d.dropped is null and (d.held_until is null or d.held_until <= now())
       for update
), wanted as (
    select exists (select from notice_settings s
                    where s.organization_id = %(organization_id)s and s.mail_on
                      and case when %(agent)s is null then %(address)s = any (s.queue_addresses)
                               else exists (select from notice_agents a
                                             where a.organization_id = s.organization_id and a.agent = %(agent)s
                                               and a.mail_on and a.address = %(address)s) end) as still
), judged as materialized (
    select r.notification_id, r.channel, r.address,
           case when not w.still then 'the settings changed meanwhile'
                when r.kind = 'sla_warning' and t.status in ('resolved', 'closed') then t.status || ' meanwhile' end as reason
      from ready r
     cross join wanted w
      join notifications n on n.id = r.notification_id
      left join tickets t on (t.organization_id, t.id) = (n.organization_id, n.ticket_id)
), mail as (
    insert into dispatches (organization_id, channel, address, agent)
    select %(organization_id)s, 'mail', %(address)s, %(agent)s where exists (select from judged where reason is null)
    returning id
), moved as (
    update notification_deliveries d
       set dispatch_id = case when j.reason is null then (select id from mail) end, dropped = j.reason
      from judged j
     where (d.notification_id, d.channel, d.address) = (j.notification_id, j.channel, j.address)
)
select m.id,
       (select count(*) from judged where reason is null) as told,
       (select count(*) from judged where reason is not null) as dropped,
       case when m.id is not null then
           pgbroker.enqueue('send_mail', jsonb_build_array(%(organization_id)s::uuid, m.id), queue => 'notices',
                            tenant => %(organization_id)s::text) end
  from (select (select id from mail)) as m (id);
