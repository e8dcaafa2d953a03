-- A move of which nothing is left has ended. Called by desk.sla.moves; a row comes back where there is such a move.
update sla_moves m
   set finished_at = case when exists (select from sla_move_tickets t where t.move_id = m.id) then m.finished_at
                          else coalesce(m.finished_at, now()) end
 where m.id = %(move_id)s
returning m.id;
