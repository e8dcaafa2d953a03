-- Hourly figures of one organization beyond its keep_audit_days. Called by desk.upkeep.retention; index: primary key.
delete from metric_snapshots
 where (organization_id, bucket_start) in (
       select m.organization_id, m.bucket_start
         from metric_snapshots m
        where m.organization_id = %(organization_id)s
          and m.bucket_start < (select now() - make_interval(days => s.keep_audit_days) from organization_settings s
                                 where s.organization_id = %(organization_id)s)
        order by m.bucket_start
        limit %(batch)s)
