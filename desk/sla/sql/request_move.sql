-- A move of all open tickets, and the message for its job. Called by desk.sla.moves, in a transaction of the organization.
-- Served by tickets_by_status.
with move as (
    insert into sla_moves (organization_id, tickets)
    select %(organization_id)s, count(*) from tickets t
     where t.organization_id = %(organization_id)s
       and t.status in ('accepted', 'assigned', 'in_progress', 'waiting_customer')
    returning id, organization_id
), listed as (
    insert into sla_move_tickets (organization_id, move_id, ticket_id)
    select m.organization_id, m.id, t.id
      from move m
      join tickets t on t.organization_id = m.organization_id
       and t.status in ('accepted', 'assigned', 'in_progress', 'waiting_customer')
)
select id, pgbroker.enqueue('move_clocks', jsonb_build_array(organization_id, id), queue => 'upkeep',
                            tenant => organization_id::text)
  from move;
