-- The figures of one bucket, replacing those of an earlier run. Called by desk.upkeep.snapshot; index: primary key.
insert into metric_snapshots (organization_id, bucket_start, data)
values (%(organization_id)s, %(bucket_start)s, %(data)s)
on conflict (organization_id, bucket_start) do update
   set (data, computed_at) = (excluded.data, now())
