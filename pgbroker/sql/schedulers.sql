-- Schedulers that live. Called by pgbroker.scheduler.schedulers. The table is small and scanned.
select host, pid, started_at, extract(epoch from now() - beat_at)::double precision as beat_seconds_ago
  from pgbroker.schedulers
 where beat_at >= now() - %(silent_seconds)s * interval '1 second'
 order by started_at
