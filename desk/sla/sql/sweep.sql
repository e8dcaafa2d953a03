-- One batch of one organization's clocks that have crossed something: record it, tell it, send the delivery.
-- Called by desk.sla.sweep, as atum_worker with app.organization_id set, once per batch and transaction.
-- Served by sla_clocks_next_event, which holds running clocks with something ahead and nothing else: the cost follows the
-- crossings. SKIP LOCKED: what another sweep has in hand, or a ticket's change that settles it itself, is theirs.
with due as (
    select c
      from sla_clocks c
     where c.organization_id = current_organization()
       and c.next_event_at <= coalesce(%(now)s, now())
     order by c.next_event_at
     limit %(batch_size)s
       for update skip locked
)
select (select count(*) from due) as clocks,
       recorded.crossed_at,
       recorded.seen_at
  from (select array_agg(due.c) as clocks from due) as batch
  left join lateral sla_record_crossings(coalesce(%(now)s, now()), batch.clocks) as recorded on true;
