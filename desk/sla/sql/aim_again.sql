-- Running clocks whose deadline lay beyond their calendar's periods: the trigger sla_clocks_aim works it out anew.
-- Called by desk.sla.periods.extend. Served by sla_clocks_by_calendar.
update sla_clocks
   set used_seconds = used_seconds
 where calendar_version_id = %(calendar_version_id)s
   and state = 'running'
   and due_at is null;
