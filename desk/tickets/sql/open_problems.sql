-- Those of some tickets that are open and of some days around this one. Called by desk.tickets.duplicates; index: unique
-- (organization_id, id).
select t.id, t.subject, t.body, t.requester, t.revision
  from tickets t
  join tickets this on this.organization_id = t.organization_id and this.id = %(ticket_id)s
 where t.organization_id = %(organization_id)s and t.id = any(%(ids)s::uuid[])
   and t.status in ('new', 'accepted', 'assigned', 'in_progress', 'waiting_customer')
   and t.created_at between this.created_at - make_interval(days => %(days)s)
                        and this.created_at + make_interval(days => %(days)s)
