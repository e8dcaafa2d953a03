-- Called by desk.sla.escalation. A ticket that nobody had is assigned from now on.
update tickets
   set assignee = %(value)s, status = case when status = 'accepted' then 'assigned' else status end
 where id = %(ticket_id)s;
