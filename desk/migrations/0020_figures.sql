-- Figures over all organizations, for /metrics: counts and ages, never rows.

create function desk_figures(
    out articles_indexed           bigint,
    out articles_pending           bigint,
    out articles_dead              bigint,
    out oldest_pending_age_seconds double precision,
    out sweep_late_seconds         double precision
)
    language sql stable security definer set search_path = public, pg_temp as $$
    select count(*) filter (where i.state = 'ok'),
           count(*) filter (where i.state = 'pending'),
           count(*) filter (where i.state = 'dead'),
           coalesce(extract(epoch from now() - min(i.wanted_at) filter (where i.state = 'pending')), 0)::float8,
           -- One look into sla_clocks_next_event per organization, however many clocks are open.
           (select coalesce(greatest(extract(epoch from now() - min(due.next_event_at)), 0), 0)::float8
              from organizations o
             cross join lateral (select min(c.next_event_at) as next_event_at
                                   from sla_clocks c where c.organization_id = o.id) due)
      from article_index i join models m on m.id = i.model_id and m.state = 'active'
$$;
comment on function desk_figures is
    'Of the active model''s articles how many are as they should be; how long the oldest SLA crossing waits for a sweep.';
