-- Moving the clocks of open tickets to what was published since: by a job, in batches, each a transaction of its own.
--
-- sla_moves ← sla_move_tickets: a ticket's row goes in the transaction that moves its clocks. So what is left is what is to be
-- done, a job that was killed goes on, and any number of workers share.

create table sla_moves (
    id               uuid primary key default gen_random_uuid(),
    organization_id  uuid not null references organizations on delete cascade,
    requested_at     timestamptz not null default now(),
    tickets          bigint not null default 0,
    finished_at      timestamptz,
    unique (organization_id, id)
);
call isolate_by_organization('sla_moves');
comment on column sla_moves.tickets is 'How many open tickets there were when it was asked for.';

create table sla_move_tickets (
    organization_id  uuid not null,
    move_id          uuid not null,
    ticket_id        uuid not null,
    primary key (move_id, ticket_id),
    foreign key (organization_id, move_id) references sla_moves (organization_id, id) on delete cascade,
    foreign key (organization_id, ticket_id) references tickets (organization_id, id) on delete cascade
);
create index sla_move_tickets_of_ticket on sla_move_tickets (organization_id, ticket_id);
call isolate_by_organization('sla_move_tickets');

-- Move up to `most` tickets' clocks to the newest versions of the policy that holds for each now, and of its calendar: same
-- start, used time kept, what was told stays told. Tickets that somebody else has in hand are left for later, or waited for
-- where `waits`. Returns how many were in hand. tickets.updated_at is left alone: the tickets are locked, not written.
create function sla_move_batch(move uuid, most integer, waits boolean) returns integer
    language plpgsql as $$
declare
    at     constant timestamptz := happening_at();
    batch  uuid[];
    due    sla_clocks[];
    one    tickets;
begin
    -- As everything that moves clocks: under the lock of the ticket's row, then the clocks'.
    if waits then
        select array_agg(picked.id) into batch
          from (select t.id from tickets t
                  join sla_move_tickets m on m.move_id = move and (m.organization_id, m.ticket_id) = (t.organization_id, t.id)
                 order by m.ticket_id limit most for no key update of t) picked;
    else
        select array_agg(picked.id) into batch
          from (select t.id from tickets t
                  join sla_move_tickets m on m.move_id = move and (m.organization_id, m.ticket_id) = (t.organization_id, t.id)
                 order by m.ticket_id limit most for no key update of t skip locked) picked;
    end if;
    if batch is null then
        return 0;
    end if;
    select array_agg(locked.c) into due
      from (select c from sla_clocks c where c.ticket_id = any (batch) and c.state <> 'stopped'
             order by c.ticket_id, c.metric, c.cycle for update) locked
     where (locked.c).next_event_at <= at;
    if due is not null then
        perform from sla_record_crossings(at, due);
    end if;

    with chosen as materialized (
        select t.id as ticket_id, t.priority, m.*
          from tickets t
         cross join lateral sla_match(t) m
         where t.id = any (batch) and sla_is_open(t.status)
    ), moving as materialized (
        select c.ticket_id, c.metric, c.cycle, h.policy_version_id, h.calendar_version_id, h.reason, g.priority,
               g.target_seconds, g.thresholds,
               c.state = 'running' and c.calendar_version_id is distinct from h.calendar_version_id as banks,
               business_elapsed(c.calendar_version_id, c.running_since, at) as used
          from chosen h
          join sla_clocks c on c.ticket_id = h.ticket_id and c.state <> 'stopped'
          join sla_targets g on g.policy_version_id = h.policy_version_id and g.metric = c.metric and g.priority = h.priority
         where (c.policy_version_id, c.calendar_version_id) is distinct from (h.policy_version_id, h.calendar_version_id)
    ), banked as (
        insert into sla_spans (organization_id, ticket_id, metric, cycle, started_at, ended_at, used_before, used_seconds,
                               calendar_version_id)
        select c.organization_id, c.ticket_id, c.metric, c.cycle, c.running_since, at, c.used_seconds, m.used,
               c.calendar_version_id
          from moving m
          join sla_clocks c using (ticket_id, metric, cycle)
         where m.banks and at > c.running_since
    )
    update sla_clocks c
       set policy_version_id = m.policy_version_id, calendar_version_id = m.calendar_version_id, reason = m.reason,
           priority = m.priority, target_seconds = m.target_seconds, thresholds = m.thresholds,
           targeted_at = case when c.target_seconds = m.target_seconds then c.targeted_at else at end,
           used_seconds = c.used_seconds + case when m.banks then m.used else 0 end,
           running_since = case when m.banks then greatest(at, c.running_since) else c.running_since end
      from moving m
     where (c.ticket_id, c.metric, c.cycle) = (m.ticket_id, m.metric, m.cycle);

    for one in select t.* from tickets t
                where t.id = any (batch) and sla_is_open(t.status)
                  and not exists (select from sla_clocks c where c.ticket_id = t.id) loop
        perform sla_start_ticket(one, at);
    end loop;

    -- What a shorter target or other hours have put behind a clock.
    select array_agg(c) into due
      from sla_clocks c
     where c.ticket_id = any (batch) and c.state <> 'stopped'
       and (c.next_event_at <= at
            or c.state = 'paused' and exists (
                   select from unnest(c.thresholds || 100) as behind (threshold)
                    where behind.threshold > c.crossed
                      and c.used_seconds >= c.target_seconds * behind.threshold / 100.0));
    if due is not null then
        perform from sla_record_crossings(at, due);
    end if;
    delete from sla_move_tickets m where m.move_id = move and m.ticket_id = any (batch);
    return cardinality(batch);
end $$;
