-- The sweep at a million open tickets: what it needs is worked out when a clock changes, and counted as it changes.
--
-- 1. A running clock holds the instants of all its thresholds: a crossing is recorded without any business arithmetic.
-- 2. Notifications send their deliveries by the statement, not by the row.
-- 3. The figures of the summary line are kept, not counted.
-- 4. Each sweep leaves a line of what it found, for those who watch.

-- 1

alter table sla_clocks add column ahead integer[], add column ahead_at timestamptz[];
comment on column sla_clocks.ahead is 'While it runs: the thresholds above those crossed, ascending; the last is 100.';
comment on column sla_clocks.ahead_at is
    'When each of them counts as crossed: a warning at its instant, the breach just after due_at. Null: never, as things are.';

-- business_add for several durations from one instant: the beginning is looked up once.
create function business_instants(calendar_version uuid, since timestamptz, seconds numeric[]) returns timestamptz[]
    language plpgsql stable parallel safe set enable_sort = off set enable_bitmapscan = off set enable_seqscan = off as $$
declare
    found_at  timestamptz[] := '{}';
    instant   timestamptz;
    period    record;
    base      numeric;
    each      numeric;
begin
    if calendar_version is not null then
        select p.opens_at, p.closes_at, p.open_seconds_before into period
          from public.calendar_periods p
         where p.calendar_version_id = calendar_version and p.opens_at <= since
         order by p.opens_at desc limit 1;
        base := coalesce(period.open_seconds_before + extract(epoch from least(since, period.closes_at) - period.opens_at), 0);
    end if;
    foreach each in array seconds loop
        if each <= 0 then
            instant := since;
        elsif calendar_version is null then
            instant := since + make_interval(secs => each::double precision);
        else
            select p.opens_at, p.closes_at, p.open_seconds_before into period
              from public.calendar_periods p
             where p.calendar_version_id = calendar_version
               and p.open_seconds_before < ceil(base + each)::bigint  -- as a bigint, so that the index serves
             order by p.open_seconds_before desc limit 1;
            instant := period.opens_at + make_interval(secs => (base + each - period.open_seconds_before)::double precision);
            instant := case when instant <= period.closes_at then instant end;
        end if;
        found_at := found_at || instant;
    end loop;
    return found_at;
end $$;

-- The precomputed instants follow from the rest of the row, whoever writes it. Recording a crossing moves on along them by
-- itself (sla_record_crossings).
create or replace function sla_clocks_aim() returns trigger
    language plpgsql set search_path = public as $$
declare
    needed  numeric[];
begin
    new.ahead := null;
    new.ahead_at := null;
    new.next_threshold := null;
    new.next_event_at := null;
    if new.state <> 'running' or new.crossed = 100 then
        new.due_at := sla_instant(new, new.target_seconds);
        return new;
    end if;
    new.ahead := array(select distinct u.threshold from unnest(new.thresholds || 100) as u (threshold)
                        where u.threshold > new.crossed order by 1);
    needed := array(select new.target_seconds * a.threshold / 100.0
                      from unnest(new.ahead) with ordinality as a (threshold, place) order by a.place);
    new.ahead_at := business_instants(new.calendar_version_id, new.running_since,
                                      array(select n.seconds - new.used_seconds
                                              from unnest(needed) with ordinality as n (seconds, place) order by n.place));
    for place in 1 .. cardinality(needed) loop
        exit when needed[place] > new.used_seconds;
        new.ahead_at[place] := sla_instant(new, needed[place]);  -- behind already: in one of its spans
    end loop;
    new.due_at := new.ahead_at[cardinality(needed)];
    -- strict: done at the deadline is met
    new.ahead_at[cardinality(needed)] := interval '1 microsecond' +
        case when new.used_seconds > new.target_seconds then new.due_at else greatest(new.due_at, new.running_since) end;
    if new.due_at is null then
        new.ahead_at[cardinality(needed)] := null;
    end if;
    new.next_threshold := new.ahead[1];
    new.next_event_at := new.ahead_at[1];
    return new;
end $$;
drop trigger sla_clocks_aim on sla_clocks;
create trigger sla_clocks_aim
    before insert or update of state, calendar_version_id, target_seconds, thresholds, running_since, used_seconds
    on sla_clocks for each row execute function sla_clocks_aim();

-- As before (0012), but what runs is looked up in its instants; and in plpgsql, which plans it once a session.
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
        -- One that stands, where a shorter target has just put thresholds behind it. Standing at the deadline is in time.
        select c.organization_id, c.ticket_id, c.metric, c.cycle, t.threshold, i.instant, c.targeted_at, c.due_at, c.priority
          from clock c
         cross join lateral (select distinct u.threshold from unnest(c.thresholds || 100) as u (threshold)
                              where u.threshold > c.crossed) as t
         cross join lateral (select case when t.threshold = 100 then c.due_at
                                         else sla_instant(c, c.target_seconds * t.threshold / 100.0) end as instant) as i
         where c.state <> 'running' and i.instant is not null
           and case when t.threshold < 100 then i.instant <= sla_record_crossings.seen_at
                    else exists (select from sla_spans s
                                  where (s.ticket_id, s.metric, s.cycle) = (c.ticket_id, c.metric, c.cycle)
                                    and s.ended_at > greatest(i.instant, s.started_at)) end
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

-- Nobody asks by these; every crossing and every pause paid for them.
drop index sla_crossings_by_age;
drop index sla_clocks_paused;

-- Clocks that run already.
update sla_clocks set used_seconds = used_seconds where state = 'running';

-- 2

drop trigger notifications_send on notifications;
create or replace function notifications_send() returns trigger
    language plpgsql set search_path = public as $$
begin
    perform pgbroker.enqueue_many(
               'deliver_notification',
               array_agg(jsonb_build_array(n.organization_id, n.id)),
               queue => 'sla',
               tenants => array_agg(n.organization_id::text))
       from written n
     having count(*) > 0;
    return null;
end $$;
create trigger notifications_send after insert on notifications
    referencing new table as written for each statement execute function notifications_send();

-- 3. Whoever changes a clock or a ticket adds a line of differences; the sweep adds the lines up. So nobody waits for
-- another's counter, and the figures are exact for whoever reads both.

create table sla_census_total (
    only_row       boolean primary key default true check (only_row),
    running        bigint not null default 0,
    paused         bigint not null default 0,
    without_clock  bigint not null default 0
);
comment on table sla_census_total is 'Of all organizations: clocks that run, clocks that stand, open accepted tickets without one.';
insert into sla_census_total default values;

create table sla_census_changes (
    id             bigint generated always as identity primary key,
    running        integer not null default 0,
    paused         integer not null default 0,
    without_clock  integer not null default 0
);
comment on table sla_census_changes is 'What is to be added to sla_census_total.';

create function sla_is_open(status text) returns boolean
    language sql immutable parallel safe
    return status in ('accepted', 'assigned', 'in_progress', 'waiting_customer');
comment on function sla_is_open is 'Whether a ticket of that status should have a clock.';

create function sla_clocks_counted() returns trigger
    language plpgsql set search_path = public as $$
declare
    running        integer := 0;
    paused         integer := 0;
    without_clock  integer := 0;
begin
    if tg_op <> 'INSERT' then
        select - count(*) filter (where state = 'running'), - count(*) filter (where state = 'paused')
          into running, paused from old_clocks;
    end if;
    if tg_op <> 'DELETE' then
        select running + count(*) filter (where state = 'running'), paused + count(*) filter (where state = 'paused')
          into running, paused from new_clocks;
    end if;
    if tg_op = 'INSERT' then  -- a ticket's first
        select - count(*) into without_clock
          from (select distinct n.organization_id, n.ticket_id from new_clocks n) n
          join tickets t on (t.organization_id, t.id) = (n.organization_id, n.ticket_id)
         where sla_is_open(t.status)
           and not exists (select from sla_clocks c
                            where c.ticket_id = n.ticket_id
                              and not exists (select from new_clocks m
                                               where (m.ticket_id, m.metric, m.cycle) = (c.ticket_id, c.metric, c.cycle)));
    end if;
    if (running, paused, without_clock) <> (0, 0, 0) then
        insert into sla_census_changes (running, paused, without_clock) values (running, paused, without_clock);
    end if;
    return null;
end $$;
create trigger sla_clocks_counted_insert after insert on sla_clocks
    referencing new table as new_clocks for each statement execute function sla_clocks_counted();
create trigger sla_clocks_counted_update after update on sla_clocks
    referencing old table as old_clocks new table as new_clocks for each statement execute function sla_clocks_counted();
create trigger sla_clocks_counted_delete after delete on sla_clocks
    referencing old table as old_clocks for each statement execute function sla_clocks_counted();

-- Whether the ticket has a clock is asked before tickets_run_clocks makes one: triggers of one event run in the order of their
-- names. At a delete, before the clocks go with it.
create function tickets_counted() returns trigger
    language plpgsql set search_path = public as $$
declare
    before constant integer := case when tg_op <> 'INSERT' then sla_is_open(old.status)::integer else 0 end;
    later  constant integer := case when tg_op <> 'DELETE' then sla_is_open(new.status)::integer else 0 end;
begin
    if before <> later and (tg_op = 'INSERT' or not exists (select from sla_clocks c where c.ticket_id = old.id)) then
        insert into sla_census_changes (without_clock) values (later - before);
    end if;
    return old;  -- a delete goes on; after an insert or update nobody asks
end $$;
create trigger tickets_counted_insert after insert on tickets
    for each row when (sla_is_open(new.status)) execute function tickets_counted();
create trigger tickets_counted after update on tickets
    for each row when (sla_is_open(new.status) <> sla_is_open(old.status)) execute function tickets_counted();
create trigger tickets_counted_delete before delete on tickets
    for each row when (sla_is_open(old.status)) execute function tickets_counted();

-- Count anew. For a database that has tickets already, and each night: whoever switches triggers off (a restore of single
-- tables) leaves the figures behind.
create function sla_recount() returns void
    language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform from sla_census_total for update;  -- nobody adds up meanwhile; what follows is of one instant
    with counted_now as (
        delete from sla_census_changes
    )
    update sla_census_total
       set running = (select count(*) from sla_clocks where state = 'running'),
           paused = (select count(*) from sla_clocks where state = 'paused'),
           without_clock = (select count(*) from tickets t
                             where sla_is_open(t.status)
                               and not exists (select from sla_clocks c where c.ticket_id = t.id));
end $$;
select sla_recount();

create or replace function sla_census(out running bigint, out without_clock bigint, out paused bigint)
    language plpgsql security definer set search_path = public, pg_temp as $$
begin
    -- Another sweep that adds up at this moment does it for both.
    if exists (select from sla_census_changes limit 1)
       and exists (select from sla_census_total for update skip locked) then
        with added as (
            delete from sla_census_changes returning *
        ), sums as (
            select sum(a.running) as running, sum(a.paused) as paused, sum(a.without_clock) as without_clock from added a
        )
        update sla_census_total t
           set running = t.running + s.running, paused = t.paused + s.paused,
               without_clock = t.without_clock + s.without_clock
          from sums s where s.running is not null;
    end if;
    select t.running + coalesce(sum(c.running), 0), t.without_clock + coalesce(sum(c.without_clock), 0),
           t.paused + coalesce(sum(c.paused), 0)
      into running, without_clock, paused
      from sla_census_total t left join sla_census_changes c on true
     group by t.running, t.without_clock, t.paused;
end $$;
comment on function sla_census is 'Clocks that run, open accepted tickets that no policy matches, clocks that stand.';

-- How many clocks have something to record, no further than `most`: one look into sla_clocks_next_event per organization.
create function sla_backlog(at timestamptz, most integer) returns integer
    language sql stable security definer set search_path = public, pg_temp as $$
    select count(*)::integer
      from (select from organizations o
             cross join lateral (select from sla_clocks c
                                  where c.organization_id = o.id and c.next_event_at <= at limit most) due
             limit most) bounded
$$;

-- 4

create table sla_sweeps (
    id                bigint generated always as identity primary key,
    at                timestamptz not null default now(),
    seconds           double precision not null,
    processed         bigint not null,
    skipped_null_sla  bigint not null,
    skipped_paused    bigint not null,
    crossings         bigint not null,
    seconds_late_p50  double precision,
    seconds_late_p99  double precision
);
create index sla_sweeps_by_age on sla_sweeps (at);
comment on table sla_sweeps is 'What each sweep found, over all organizations: counts, never rows.';
comment on column sla_sweeps.seconds is 'How long it took.';
comment on column sla_sweeps.seconds_late_p50 is 'Between crossing and record; null where nothing was crossed.';
