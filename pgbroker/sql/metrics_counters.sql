-- What all worker processes counted since the tables were made: those that live and those that are gone. Called by
-- pgbroker.metrics. Two tables of a few rows.
select name, sum(value)
  from (select t.name, t.value from pgbroker.totals t
        union all
        select c.key, c.value::double precision
          from pgbroker.processes p
         cross join lateral jsonb_each_text(p.counters) c) counted
 group by 1
