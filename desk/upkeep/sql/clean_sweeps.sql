-- What sweeps found more than thirty days ago. Called by desk.upkeep.retention; index: sla_sweeps_by_age.
delete from sla_sweeps
 where id in (select id from sla_sweeps where at < now() - interval '30 days' order by at limit %(batch)s)
