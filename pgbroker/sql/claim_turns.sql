-- Take due messages of one queue by turns: priority first, inside it every tenant the same share, beginning with the
-- tenant after `after`. Called by Claims while a queue has more than it can take. Served by queue_turns: one probe per
-- tenant, however many messages each has, until how_many have something that is due; of those that have not, a thousand
-- at the most. No tenant counts as the tenant ''.
with open as materialized (
    select from (values (1)) one (row)
     where not exists (select from pgbroker.queues p where p.queue_name = %(queue_name)s and p.paused_at is not null)
), level as materialized (
    select l.priority from pgbroker.levels l, open where l.queue_name = %(queue_name)s order by l.priority
), picked as materialized (
    select m.message_id
      from level
     cross join lateral (
            with recursive onward (tenant, is_due, due, nth) as (
                (select coalesce(q.tenant, '') collate "C", q.run_at <= now(), (q.run_at <= now())::integer, 1
                   from dramatiq.queue q
                  where q.state = 'queued' and q.run_key is null and q.queue_name = %(queue_name)s
                    and q.priority = level.priority and coalesce(q.tenant, '') collate "C" > %(after)s
                  order by coalesce(q.tenant, '') collate "C", q.run_at limit 1)
                union all
                select next.tenant, next.is_due, onward.due + next.is_due::integer, onward.nth + 1
                  from onward
                 cross join lateral (
                        select coalesce(q.tenant, '') collate "C" as tenant, q.run_at <= now() as is_due
                          from dramatiq.queue q
                         where q.state = 'queued' and q.run_key is null and q.queue_name = %(queue_name)s
                           and q.priority = level.priority and coalesce(q.tenant, '') collate "C" > onward.tenant
                         order by coalesce(q.tenant, '') collate "C", q.run_at limit 1) next
                 where onward.due < %(how_many)s and onward.nth - onward.due < 1000
            ), around (tenant, is_due, due, nth) as (
                (select coalesce(q.tenant, '') collate "C", q.run_at <= now(), (q.run_at <= now())::integer, 1
                   from dramatiq.queue q
                  where q.state = 'queued' and q.run_key is null and q.queue_name = %(queue_name)s
                    and q.priority = level.priority
                  order by coalesce(q.tenant, '') collate "C", q.run_at limit 1)
                union all
                select next.tenant, next.is_due, around.due + next.is_due::integer, around.nth + 1
                  from around
                 cross join lateral (
                        select coalesce(q.tenant, '') collate "C" as tenant, q.run_at <= now() as is_due
                          from dramatiq.queue q
                         where q.state = 'queued' and q.run_key is null and q.queue_name = %(queue_name)s
                           and q.priority = level.priority and coalesce(q.tenant, '') collate "C" > around.tenant
                         order by coalesce(q.tenant, '') collate "C", q.run_at limit 1) next
                 where around.due < %(how_many)s and around.nth - around.due < 1000 and around.tenant < %(after)s
            ), turn as materialized (
                select tenant, lap
                  from (select tenant, is_due, 1 as lap from onward
                        union all
                        select tenant, is_due, 2 from around where tenant <= %(after)s) laps
                 where is_due
                 order by lap, tenant
                 limit %(how_many)s
            )
            select mine.message_id
              from turn
             cross join lateral (
                    select q.message_id
                      from dramatiq.queue q
                     where q.state = 'queued' and q.run_key is null
                       and q.queue_name = %(queue_name)s and q.priority = level.priority
                       and coalesce(q.tenant, '') collate "C" = turn.tenant and q.run_at <= now()
                     order by q.run_at, q.seq
                     limit ceil(%(how_many)s::numeric / greatest(1, (select count(*) from turn)))
                       for update skip locked) mine
            ) m
     limit %(how_many)s
)
update dramatiq.queue q
   set state = 'consumed',
       process_id = %(process_id)s::uuid,
       lease_token = gen_random_uuid(),
       started_at = now(),
       mtime = now(),
       deliveries = q.deliveries + 1,
       unique_key = null
 where q.message_id = any (array(select message_id from picked))
returning q.message_id::text, q.queue_name, q.message::text, q.lease_token::text, q.deliveries, q.retries,
          q.deaths, q.cancel_at is not null,
          coalesce(q.tenant, ''), now(), false, q.priority, q.run_at, q.seq
