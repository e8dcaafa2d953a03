-- Called by desk.sla.escalation. The trigger on tickets moves the clocks to the priority's targets.
update tickets set priority = %(value)s, priority_by = 'escalation' where id = %(ticket_id)s;
