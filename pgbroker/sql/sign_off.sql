-- A worker process ends and holds nothing any more; what it counted is kept. Called by Lifeline.
with gone as (
    delete from pgbroker.processes where process_id = %(process_id)s::uuid returning process_id
)
insert into pgbroker.totals (name, value)
select c.key, c.value::double precision
  from gone, jsonb_each_text(%(counters)s::jsonb) c
 order by c.key
on conflict (name) do update set value = totals.value + excluded.value
