-- Whether a recipient's mails can be gathered now. Called by desk.notices.gathering. Served by notification_deliveries_waiting,
-- dispatches_waiting and notifications_unread. One row:
-- ready: there is something to tell; failing: an earlier mail to the same address cannot leave at the moment;
-- on_the_way: more of the same burst is about to reach the inbox.
with ready as (
    select min(d.created_at) as since
      from notification_deliveries d
     where d.organization_id = %(organization_id)s and d.channel = 'mail' and d.address = %(address)s
       and d.agent is not distinct from %(agent)s
       and d.dispatch_id is null and d.dropped is null and (d.held_until is null or d.held_until <= now())
)
select r.since is not null as ready,
       exists (select from dispatches o
                where o.organization_id = %(organization_id)s and o.channel = 'mail' and o.address = %(address)s
                  and o.agent is not distinct from %(agent)s
                  and o.state = 'waiting' and o.error is not null
                  and o.tried_at > now() - make_interval(secs => %(forget_seconds)s)) as failing,
       r.since > now() - make_interval(secs => %(patience_seconds)s)
       and exists (select from notifications n
                    where n.organization_id = %(organization_id)s and n.read_at is null and n.delivered_at is null
                      and (n.recipient = %(agent)s or %(agent)s is null and n.recipient is null)
                      and n.created_at > now() - make_interval(secs => %(patience_seconds)s)) as on_the_way
  from ready r;
