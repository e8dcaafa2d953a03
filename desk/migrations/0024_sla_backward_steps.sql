-- What a state machine of random stories found (tests/sla/test_state_machine.py): time that counted twice where the host's
-- clock stepped back, and clocks that took another version than their ticket's.
--
-- 1. Which versions a ticket holds.
-- 2. No time before what a clock has reached counts.
-- 3. A move reads the spans that it writes.

-- 1. The clocks of a ticket may be on several versions: those that were stopped stay behind a move, and so does one whose
-- metric the new version does not promise. The instants of their targets do not tell which came last.

alter table sla_clocks add column assigned bigint not null generated always as identity;
comment on column sla_clocks.assigned is
    'Counts up as clocks take versions: of a ticket''s clocks the highest has those that hold for the ticket.';

-- Clocks that are there already, of tickets that hold several versions: as well as their instants tell it.
update sla_clocks c set assigned = default
  from (select distinct on (k.ticket_id) k.ticket_id, k.metric, k.cycle
          from sla_clocks k
          join sla_policy_versions v on v.id = k.policy_version_id
         where exists (select from sla_clocks o
                        where o.ticket_id = k.ticket_id
                          and (o.policy_version_id, o.calendar_version_id)
                              is distinct from (k.policy_version_id, k.calendar_version_id))
         order by k.ticket_id, k.state <> 'stopped' desc, k.targeted_at desc, v.published_at desc) newest
 where (c.ticket_id, c.metric, c.cycle) = (newest.ticket_id, newest.metric, newest.cycle);

-- As before (0013), but by `assigned`.
create or replace function sla_start(ticket tickets, metrics text[], at timestamptz) returns integer
    language plpgsql as $$
declare
    policy   record;
    started  integer;
begin
    -- A ticket keeps the versions that its first clock took, or that it was moved to.
    select c.policy_version_id, c.calendar_version_id, c.reason into policy
      from sla_clocks c where c.ticket_id = ticket.id order by c.assigned desc limit 1;
    if not found then
        select m.policy_version_id, m.calendar_version_id, m.reason into policy from sla_match(ticket) m;
        if not found then
            return 0;
        end if;
    end if;
    insert into sla_clocks (organization_id, ticket_id, metric, cycle, state, policy_version_id, calendar_version_id, reason,
                            priority, target_seconds, thresholds, targeted_at, started_at, running_since)
    select ticket.organization_id, ticket.id, t.metric,
           1 + (select count(*) from sla_clocks c where (c.ticket_id, c.metric) = (ticket.id, t.metric)),
           sla_stance(ticket.status), policy.policy_version_id, policy.calendar_version_id, policy.reason,
           t.priority, t.target_seconds, t.thresholds, at, at,
           case when sla_stance(ticket.status) = 'running' then at end
      from sla_targets t
     where t.policy_version_id = policy.policy_version_id and t.priority = ticket.priority and t.metric = any (metrics)
       and (t.metric = 'next_response'
            or not exists (select from sla_clocks c where (c.ticket_id, c.metric) = (ticket.id, t.metric)));
    get diagnostics started = row_count;
    return started;
end $$;

-- 2

create function sla_reached(clock sla_clocks) returns timestamptz
    language sql stable as $$
    select greatest(clock.started_at, (select max(s.ended_at) from sla_spans s
                                        where (s.ticket_id, s.metric, s.cycle) = (clock.ticket_id, clock.metric, clock.cycle)))
$$;
comment on function sla_reached is
    'No time before it counts for the clock: it has been counted, or lies before the start. One look into sla_spans'' key.';

-- As before (0013), but no clock stops or goes on before what it has reached.
create or replace function sla_stop(ticket uuid, metrics text[], at timestamptz) returns void
    language plpgsql as $$
begin
    perform sla_bank(ticket, metrics, at);
    update sla_clocks c
       set state = 'stopped', stopped_at = greatest(at, sla_reached(c)),
           outcome = case when c.crossed = 100 then 'breached' else 'met' end
     where c.ticket_id = ticket and c.state = 'paused' and c.metric = any (metrics);
end $$;

create or replace function sla_follow_status(old_status text, ticket tickets, at timestamptz) returns void
    language plpgsql as $$
declare
    everything constant text[] := '{first_response,next_response,resolution}';
    was        constant text := sla_stance(old_status);
    stance     constant text := sla_stance(ticket.status);
begin
    if stance = 'stopped' then
        perform sla_stop(ticket.id, everything, at);
        return;
    end if;
    if was = 'stopped' then
        update sla_clocks c set state = 'paused', stopped_at = null, outcome = null
         where c.ticket_id = ticket.id and c.metric = 'resolution';
        if not found then
            perform sla_start(ticket, '{resolution}', at);
        end if;
        if ticket.first_response_at is not null and 'customer' = (
                select m.author_kind from ticket_messages m
                 where (m.organization_id, m.ticket_id) = (ticket.organization_id, ticket.id)
                   and m.is_public and m.author_kind <> 'system'
                 order by m.created_at desc, m.seq desc limit 1) then
            perform sla_start(ticket, '{next_response}', at);
        end if;
    elsif old_status = 'new' and not exists (select from sla_clocks c where c.ticket_id = ticket.id) then
        perform sla_start_ticket(ticket, at);
    end if;
    if stance = 'paused' then
        perform sla_bank(ticket.id, everything, at);
    else
        update sla_clocks c set state = 'running', running_since = greatest(at, sla_reached(c))
         where c.ticket_id = ticket.id and c.state = 'paused';
    end if;
end $$;

-- Close the spans of clocks that run and are about to take another calendar: used by the old one. They run on.
create function sla_carry(ticket tickets, policy_version uuid, calendar_version uuid, at timestamptz) returns void
    language plpgsql as $$
declare
    clock  sla_clocks;
    used   numeric;
begin
    for clock in select * from sla_clocks c
                  where c.ticket_id = ticket.id and c.state = 'running' and at > c.running_since
                    and c.calendar_version_id is distinct from calendar_version
                    and exists (select from sla_targets t
                                 where t.policy_version_id = policy_version and t.metric = c.metric
                                   and t.priority = ticket.priority) loop
        used := business_elapsed(clock.calendar_version_id, clock.running_since, at);
        insert into sla_spans (organization_id, ticket_id, metric, cycle, started_at, ended_at, used_before, used_seconds,
                               calendar_version_id)
        values (clock.organization_id, clock.ticket_id, clock.metric, clock.cycle, clock.running_since, at,
                clock.used_seconds, used, clock.calendar_version_id);
        update sla_clocks c set running_since = at, used_seconds = c.used_seconds + used
         where (c.ticket_id, c.metric, c.cycle) = (clock.ticket_id, clock.metric, clock.cycle);
    end loop;
end $$;

-- As before (0013), but what runs goes on from where it was, by `assigned`.
create or replace function sla_retarget(ticket tickets, at timestamptz) returns void
    language plpgsql as $$
declare
    policy   record;
    matched  record;
begin
    select v.policy_id, c.policy_version_id, c.calendar_version_id, c.reason into policy
      from sla_clocks c join sla_policy_versions v on v.id = c.policy_version_id
     where c.ticket_id = ticket.id order by c.assigned desc limit 1;
    if not found then
        if ticket.status <> 'new' then  -- none matched so far
            perform sla_start_ticket(ticket, at);
        end if;
        return;
    end if;
    select * into matched from sla_match(ticket);
    if matched.policy_id <> policy.policy_id then
        policy := matched;
    end if;
    perform sla_carry(ticket, policy.policy_version_id, policy.calendar_version_id, at);
    update sla_clocks c
       set policy_version_id = policy.policy_version_id, calendar_version_id = policy.calendar_version_id,
           reason = policy.reason, assigned = default, priority = t.priority, target_seconds = t.target_seconds, thresholds = t.thresholds,
           targeted_at = case when c.target_seconds = t.target_seconds then c.targeted_at else at end
      from sla_targets t
     where c.ticket_id = ticket.id and c.state <> 'stopped'
       and t.policy_version_id = policy.policy_version_id and t.metric = c.metric and t.priority = ticket.priority
       and (c.policy_version_id, c.priority) is distinct from (policy.policy_version_id, ticket.priority);
end $$;

-- As before (0021), but for clocks that stand.
create or replace function sla_record_crossings(seen_at timestamptz, due sla_clocks[]) returns setof sla_crossings
    language plpgsql as $$
#variable_conflict use_column
begin
    return query
    with clock as (
        select * from unnest(due)
    ), crossed as materialized (
        select c.organization_id, c.ticket_id, c.metric, c.cycle, a.threshold,
               case when a.threshold = 100 then c.due_at else a.event_at end as instant,
               c.targeted_at, c.due_at, c.priority
          from clock c
         cross join lateral unnest(c.ahead, c.ahead_at) as a (threshold, event_at)
         where c.state = 'running' and a.threshold > c.crossed and a.event_at <= sla_record_crossings.seen_at
        union all
        -- One that stands, where a shorter target has just put thresholds behind it: what it has used it has used, also
        -- where the host's clock has stepped back behind that. Standing at the deadline is in time.
        select c.organization_id, c.ticket_id, c.metric, c.cycle, t.threshold, i.instant, c.targeted_at, c.due_at, c.priority
          from clock c
         cross join lateral (select distinct u.threshold from unnest(c.thresholds || 100) as u (threshold)
                              where u.threshold > c.crossed) as t
         cross join lateral (select case when t.threshold = 100 then c.due_at
                                         else sla_instant(c, c.target_seconds * t.threshold / 100.0) end as instant) as i
         where c.state <> 'running' and i.instant is not null
           and (t.threshold < 100
                or exists (select from sla_spans s
                            where (s.ticket_id, s.metric, s.cycle) = (c.ticket_id, c.metric, c.cycle)
                              and s.ended_at > greatest(i.instant, s.started_at)))
    ), moved as (
        update sla_clocks k
           set crossed = m.highest,
               next_threshold = k.ahead[array_position(k.ahead, m.highest) + 1],  -- null behind the last
               next_event_at = k.ahead_at[array_position(k.ahead, m.highest) + 1]
          from (select ticket_id, metric, cycle, max(threshold) as highest from crossed group by 1, 2, 3) as m
         where (k.ticket_id, k.metric, k.cycle) = (m.ticket_id, m.metric, m.cycle)
    ), recorded as (
        insert into sla_crossings (organization_id, ticket_id, metric, cycle, threshold, crossed_at, seen_at)
        -- What a new target put behind a clock was crossed when the target was set.
        select organization_id, ticket_id, metric, cycle, threshold, greatest(instant, targeted_at),
               sla_record_crossings.seen_at from crossed
        on conflict do nothing
        returning *
    ), worst as (
        select r.ticket_id, r.metric, r.cycle, max(r.threshold) as threshold, array_agg(r.threshold order by r.threshold) as thresholds
          from recorded r group by 1, 2, 3
    ), told as (
        insert into notifications (organization_id, idempotency_key, kind, recipient, ticket_id, metric, cycle, threshold, detail)
        select c.organization_id,
               format('sla:%s:%s:%s:%s', w.ticket_id, w.metric, w.cycle, w.threshold),
               case when w.threshold = 100 then 'sla_breach' else 'sla_warning' end,
               t.assignee, w.ticket_id, w.metric, w.cycle, w.threshold,
               jsonb_build_object('subject', t.subject, 'priority', c.priority, 'due_at', c.due_at, 'crossed', w.thresholds)
          from worst w
          join crossed c using (ticket_id, metric, cycle, threshold)
          join tickets t on (t.organization_id, t.id) = (c.organization_id, w.ticket_id)
        on conflict (organization_id, idempotency_key) do nothing
    )
    select * from recorded;
end $$;

-- 3

create type sla_moving as (
    ticket_id            uuid,
    metric               text,
    cycle                integer,
    policy_version_id    uuid,
    calendar_version_id  uuid,
    reason               text,
    priority             text,
    target_seconds       bigint,
    thresholds           integer[],
    used                 numeric
);
comment on type sla_moving is 'What a clock moves to. used: seconds by the calendar that it leaves, where it runs by one.';

-- As before (0022), in two statements: of one, which moved the clock and wrote its span, the trigger saw no span, and took the
-- clock's start for the instant at which it had used that much.
create or replace function sla_move_batch(move uuid, most integer, waits boolean) returns integer
    language plpgsql as $$
declare
    at     constant timestamptz := happening_at();
    batch  uuid[];
    due    sla_clocks[];
    moving sla_moving[];
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
    )
    select array_agg(row (c.ticket_id, c.metric, c.cycle, h.policy_version_id, h.calendar_version_id, h.reason, g.priority,
                          g.target_seconds, g.thresholds,
                          case when c.state = 'running' and c.calendar_version_id is distinct from h.calendar_version_id
                               then business_elapsed(c.calendar_version_id, c.running_since, at) end)::sla_moving)
      into moving
      from chosen h
      join sla_clocks c on c.ticket_id = h.ticket_id and c.state <> 'stopped'
      join sla_targets g on g.policy_version_id = h.policy_version_id and g.metric = c.metric and g.priority = h.priority
     where (c.policy_version_id, c.calendar_version_id) is distinct from (h.policy_version_id, h.calendar_version_id);
    -- Before the clocks: sla_clocks_aim looks into their spans.
    insert into sla_spans (organization_id, ticket_id, metric, cycle, started_at, ended_at, used_before, used_seconds,
                           calendar_version_id)
    select c.organization_id, c.ticket_id, c.metric, c.cycle, c.running_since, at, c.used_seconds, m.used,
           c.calendar_version_id
      from unnest(moving) m
      join sla_clocks c using (ticket_id, metric, cycle)
     where m.used is not null and at > c.running_since;
    update sla_clocks c
       set policy_version_id = m.policy_version_id, calendar_version_id = m.calendar_version_id, reason = m.reason,
           assigned = default, priority = m.priority, target_seconds = m.target_seconds, thresholds = m.thresholds,
           targeted_at = case when c.target_seconds = m.target_seconds then c.targeted_at else at end,
           used_seconds = c.used_seconds + coalesce(m.used, 0),
           running_since = case when m.used is null then c.running_since else greatest(at, c.running_since) end
      from unnest(moving) m
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
