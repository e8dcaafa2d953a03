-- Delete the oldest finished messages that ended longer ago than age, a batch at the most. Returns how many, and when the
-- newest of them ended: the floor of the next batch, or null. Called by pgbroker.retention. Served by finished_by_age.
with old as materialized (
    select ctid
      from pgbroker.finished
     where finished_at < now() - %(age)s::interval and finished_at >= coalesce(%(floor)s::timestamptz, '-infinity')
     order by finished_at
     limit %(batch)s::integer
       for update skip locked
), gone as (
    delete from pgbroker.finished where ctid = any (array(select ctid from old)) returning finished_at
)
select count(*), max(finished_at) from gone
