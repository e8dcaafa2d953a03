-- Delete the oldest dead letters that died longer ago than age, a batch at the most. Returns how many, and when the newest
-- of them died: the floor of the next batch, or null. Called by pgbroker.retention. Served by dead_letters_by_age.
with old as materialized (
    select ctid
      from pgbroker.dead_letters
     where died_at < now() - %(age)s::interval and died_at >= coalesce(%(floor)s::timestamptz, '-infinity')
     order by died_at
     limit %(batch)s::integer
       for update skip locked
), gone as (
    delete from pgbroker.dead_letters where ctid = any (array(select ctid from old)) returning died_at
)
select count(*), max(died_at) from gone
