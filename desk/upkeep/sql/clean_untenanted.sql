-- Finished messages of no organization (the scheduler's), or of one that is gone, after thirty days, which is also the
-- default of organizations. Called by desk.upkeep.retention; index: finished_by_age.
delete from pgbroker.finished
 where message_id in (
       select f.message_id
         from pgbroker.finished f
        where f.finished_at < now() - interval '30 days'
          and (f.tenant is null or not exists (select from organizations o where o.id::text = f.tenant))
        order by f.finished_at
        limit %(batch)s)
