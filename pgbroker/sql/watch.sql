-- The turn of an idle process: a beat and a survey in one. Returns whether some other process has missed its beat; its
-- place among those that take turns for these queues, and how many they are; then what pgbroker.survey says. No row: ours
-- was taken away. Called by Lifeline. Served by processes_pkey, queue_waiting and queue_limited.
-- Whoever looks into more queues than we do looks into ours as well. turn_seconds: how long a turn is; most_watchers: after
-- so many turns it comes back, however many they are.
with quiet as materialized (
    select set_config('synchronous_commit', 'off', true)
), peers as materialized (
    select count(*) filter (where p.process_id < %(process_id)s::uuid) as place, count(*) as watchers
      from pgbroker.processes p
     where p.process_id = %(process_id)s::uuid
        or (p.watches_until > now() and p.queues @> %(queues)s::text[])
), me as (
    update pgbroker.processes p
       set beat_at = now(),
           beat_due_at = until.at,
           watches_until = until.at,
           hears_until = until.at + %(hears_seconds)s * interval '1 second',
           backend_pid = %(backend_pid)s,
           queues = %(queues)s::text[],
           counters = coalesce(%(counters)s::jsonb, p.counters)
      from quiet, peers
     cross join lateral (
            select now() + (least(peers.watchers, %(most_watchers)s::bigint) * %(turn_seconds)s::float8
                            + %(slack_seconds)s::float8) * interval '1 second' as at) until
     where p.process_id = %(process_id)s::uuid
    returning p.process_id
)
select exists (select from pgbroker.processes o where coalesce(o.beat_due_at, o.beat_at + interval '1.3 s') < now()),
       peers.place, peers.watchers, s.at, s.due_in, s.levels, s.limited
  from me, peers, pgbroker.survey(%(queues)s::text[]) s
