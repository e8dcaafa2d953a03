-- How many tickets the organization has in hand at this moment. Called by desk.tickets.risk_history; index: tickets_by_status.
select count(*)
  from tickets
 where organization_id = %(organization_id)s and status in ('accepted', 'assigned', 'in_progress', 'waiting_customer')
