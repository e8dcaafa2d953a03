-- How many of an organization's running clocks are expected to breach: the newest forecast of each.

create table breach_forecasts (
    organization_id  uuid primary key references organizations on delete cascade,
    taken_at         timestamptz not null default now(),
    running          integer not null,
    predicted        integer not null,
    late             integer not null,
    expected         double precision,
    low              integer,
    high             integer,
    check ((expected is null) = (predicted = 0)),
    check ((low is null) = (predicted = 0) and (high is null) = (predicted = 0))
);
call isolate_by_organization('breach_forecasts');
comment on table breach_forecasts is 'Written by predict_open_slas, every quarter of an hour.';
comment on column breach_forecasts.running is 'Running resolution clocks that are not late.';
comment on column breach_forecasts.predicted is 'Of these, those with a probability.';
comment on column breach_forecasts.late is 'Running resolution clocks that are late already.';
comment on column breach_forecasts.expected is 'The sum of the probabilities; null: none has one.';
comment on column breach_forecasts.low is 'With high: nine times of ten so many of the predicted breach, if they do so independently.';

-- For /metrics: sums over all organizations, never rows. What is older than an hour is nobody's forecast any more.
create function risk_figures(out expected double precision, out unpredicted bigint)
    language sql stable security definer set search_path = public, pg_temp as $$
    select sum(f.expected), coalesce(sum(f.running - f.predicted), 0)
      from breach_forecasts f
     where f.taken_at > now() - interval '1 hour'
$$;
comment on function risk_figures is 'Breaches expected among the running clocks, null without a forecast; clocks without a probability.';
