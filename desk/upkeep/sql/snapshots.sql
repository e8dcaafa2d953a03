-- The newest kept hours of an organization. Called by desk.upkeep.snapshot; index: primary key.
select bucket_start, computed_at, data
  from metric_snapshots
 where organization_id = %(organization_id)s and bucket_start <= %(now)s
 order by bucket_start desc
 limit %(last)s
