-- The moves of an organization and how far they have come. Called by desk.sla.moves.
select m.id::text, m.requested_at, m.tickets,
       (select count(*) from sla_move_tickets t where t.move_id = m.id) as left, m.finished_at
  from sla_moves m
 where m.organization_id = %(organization_id)s
 order by m.requested_at desc, m.id
 limit 50;
