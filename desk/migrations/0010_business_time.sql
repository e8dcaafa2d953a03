-- Business time in SQL: two look-ups in calendar_periods, no loop. Equal to desk.sla.Calendar on every covered instant.
--
-- plpgsql, because its plans stay cached in the session; an SQL function with a look-up inside is planned at every call.
-- Tables are named with their schema, so that a reader's search_path does not matter. The settings leave the planner one
-- way, the first entry of an index: without statistics (a calendar that was just published) it would sort the whole calendar,
-- a thousand times the work.

-- The instant at which what this transaction writes happened: now, unless an import of history says otherwise.
create function happening_at() returns timestamptz
    language sql stable parallel safe
    return coalesce(nullif(current_setting('app.at', true), '')::timestamptz, now());

comment on function happening_at is
    'Whoever writes history event by event sets it: set_config(''app.at'', ''2016-02-29T01:16:00Z'', true).';

-- Open seconds from the beginning of the calendar's coverage until an instant.
create function open_seconds_until(calendar_version uuid, instant timestamptz) returns numeric
    language plpgsql stable parallel safe set enable_sort = off set enable_bitmapscan = off set enable_seqscan = off as $$
declare
    period record;
begin
    select p.opens_at, p.closes_at, p.open_seconds_before into period
      from public.calendar_periods p
     where p.calendar_version_id = calendar_version and p.opens_at <= instant
     order by p.opens_at desc limit 1;
    return coalesce(period.open_seconds_before + extract(epoch from least(instant, period.closes_at) - period.opens_at), 0);
end $$;

create function business_elapsed(calendar_version uuid, since timestamptz, until timestamptz) returns numeric
    language plpgsql stable parallel safe as $$
begin
    if until <= since then
        return 0;
    elsif calendar_version is null then
        return extract(epoch from until - since);
    end if;
    return public.open_seconds_until(calendar_version, until) - public.open_seconds_until(calendar_version, since);
end $$;

-- The earliest instant at which that much business time has passed. Null where the calendar's periods end before it.
create function business_add(calendar_version uuid, since timestamptz, seconds numeric) returns timestamptz
    language plpgsql stable parallel safe set enable_sort = off set enable_bitmapscan = off set enable_seqscan = off as $$
declare
    goal    numeric;
    period  record;
    found_at timestamptz;
begin
    if seconds <= 0 then
        return since;
    elsif calendar_version is null then
        return since + make_interval(secs => seconds::double precision);
    end if;
    goal := public.open_seconds_until(calendar_version, since) + seconds;
    select p.opens_at, p.closes_at, p.open_seconds_before into period
      from public.calendar_periods p
     where p.calendar_version_id = calendar_version
       and p.open_seconds_before < ceil(goal)::bigint  -- as a bigint, so that the index serves
     order by p.open_seconds_before desc limit 1;
    found_at := period.opens_at + make_interval(secs => (goal - period.open_seconds_before)::double precision);
    return case when found_at <= period.closes_at then found_at end;
end $$;
