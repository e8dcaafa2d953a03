-- Called by desk.sla.escalation. Raises where no worker ever declared the actor.
select pgbroker.enqueue(%(value)s, args => jsonb_build_array(t.organization_id, t.id), tenant => t.organization_id::text)
  from tickets t where t.id = %(ticket_id)s;
