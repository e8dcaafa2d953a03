-- An agent's newest notifications. Called by desk.notices.inbox; served by notifications_unread and notifications_read.
with newest as (
    (select n.* from notifications n
      where n.organization_id = %(organization_id)s and n.recipient = %(agent)s and n.delivered_at is not null
        and n.read_at is null
      order by n.created_at desc limit %(limit)s)
    union all
    (select n.* from notifications n
      where n.organization_id = %(organization_id)s and n.recipient = %(agent)s and n.delivered_at is not null
        and n.read_at is not null and not %(unread)s
      order by n.created_at desc limit %(limit)s)
)
select n.id::text, n.kind, n.recipient, n.ticket_id::text, n.metric, n.cycle, n.threshold, n.detail, n.created_at,
       n.delivered_at, n.read_at
  from newest n
 order by n.created_at desc, n.id
 limit %(limit)s;
