-- Settling: what a clock has crossed is recorded once, in the transaction that writes the notification and its message.
-- The sweep settles what is due; a trigger settles a ticket before it changes.

-- When a clock has used that many seconds: in the past, from its spans; ahead, if it runs. Null: it stands short of it.
create function sla_instant(clock sla_clocks, seconds numeric) returns timestamptz
    language plpgsql stable as $$
declare
    instant timestamptz;
begin
    if seconds > clock.used_seconds then
        if clock.running_since is null then
            return null;
        end if;
        return business_add(clock.calendar_version_id, clock.running_since, seconds - clock.used_seconds);
    end if;
    select business_add(s.calendar_version_id, s.started_at, seconds - s.used_before) into instant
      from sla_spans s
     where (s.ticket_id, s.metric, s.cycle) = (clock.ticket_id, clock.metric, clock.cycle)
       and s.used_before < seconds and seconds <= s.used_before + s.used_seconds
     order by s.started_at limit 1;
    return coalesce(instant, clock.started_at);
end $$;

-- The precomputed instants follow from the rest of the row, whoever writes it.
create function sla_clocks_aim() returns trigger
    language plpgsql set search_path = public as $$
begin
    select min(threshold) into new.next_threshold
      from unnest(new.thresholds || 100) as threshold where threshold > new.crossed;
    new.due_at := sla_instant(new, new.target_seconds);
    new.next_event_at := null;
    if new.state <> 'running' then
        new.next_threshold := null;
    elsif new.next_threshold = 100 then
        -- strict: done at the deadline is met
        new.next_event_at := case when new.used_seconds > new.target_seconds or new.due_at is null then new.due_at
                                  else greatest(new.due_at, new.running_since) end + interval '1 microsecond';
    elsif new.next_threshold is not null then
        new.next_event_at := sla_instant(new, new.target_seconds * new.next_threshold / 100.0);
    end if;
    return new;
end $$;
create trigger sla_clocks_aim
    before insert or update of state, calendar_version_id, target_seconds, thresholds, running_since, used_seconds, crossed
    on sla_clocks for each row execute function sla_clocks_aim();

-- Record what the given clocks, locked by the caller, have crossed at an instant: those that run, and those that stand where
-- a shorter target has just put thresholds behind them. Of several crossed at once all are recorded and the worst is told.
-- Returns what was new.
create function sla_record_crossings(seen_at timestamptz, due sla_clocks[]) returns setof sla_crossings
    language sql as $$
    with crossed as (
        select c.organization_id, c.ticket_id, c.metric, c.cycle, t.threshold, i.instant, c.targeted_at, c.due_at, c.priority
          from unnest(due) as c
         cross join lateral (select distinct u.threshold from unnest(c.thresholds || 100) as u (threshold)
                              where u.threshold > c.crossed) as t
         cross join lateral (select case when t.threshold = 100 then c.due_at
                                         else sla_instant(c, c.target_seconds * t.threshold / 100.0) end as instant) as i
         -- A warning at its instant; the breach when the clock ran on after it. One that stands at its deadline is in time,
         -- however long it stands, and so it is at the instant at which it goes on.
         where i.instant is not null
           and case when t.threshold < 100 then i.instant <= seen_at
                    else c.state = 'running' and greatest(i.instant, c.running_since) < seen_at
                         or exists (select from sla_spans s
                                     where (s.ticket_id, s.metric, s.cycle) = (c.ticket_id, c.metric, c.cycle)
                                       and s.ended_at > greatest(i.instant, s.started_at)) end
    ), moved as (
        update sla_clocks k set crossed = m.highest
          from (select ticket_id, metric, cycle, max(threshold) as highest from crossed group by 1, 2, 3) as m
         where (k.ticket_id, k.metric, k.cycle) = (m.ticket_id, m.metric, m.cycle)
    ), recorded as (
        insert into sla_crossings (organization_id, ticket_id, metric, cycle, threshold, crossed_at, seen_at)
        -- What a new target put behind a clock was crossed when the target was set.
        select organization_id, ticket_id, metric, cycle, threshold, greatest(instant, targeted_at), seen_at from crossed
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
    select * from recorded
$$;

-- A notification sends its own delivery, whoever writes it.
create function notifications_send() returns trigger
    language plpgsql set search_path = public as $$
begin
    perform pgbroker.enqueue('deliver_notification',
                             args => jsonb_build_array(new.organization_id, new.id),
                             queue => 'sla',
                             unique_key => 'deliver_notification:' || new.id,
                             tenant => new.organization_id::text);
    return null;
end $$;
create trigger notifications_send after insert on notifications
    for each row execute function notifications_send();

-- Settle one ticket. Locks its clocks: from here to the end of the transaction no sweep touches them.
create function sla_settle(ticket uuid, at timestamptz) returns void
    language plpgsql as $$
declare
    due sla_clocks[];
begin
    with locked as (select c from sla_clocks c where c.ticket_id = ticket order by c.metric, c.cycle for update)
    select array_agg(l.c) into due from locked l
     where (l.c).next_event_at <= at
        or (l.c).state = 'paused' and exists (
               select from unnest((l.c).thresholds || 100) as behind (threshold)
                where behind.threshold > (l.c).crossed
                  and (l.c).used_seconds >= (l.c).target_seconds * behind.threshold / 100.0);
    if due is not null then
        perform from sla_record_crossings(at, due);
    end if;
end $$;
