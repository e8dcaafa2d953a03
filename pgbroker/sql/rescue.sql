-- Messages of processes that are gone wait again; the ones that were there when their worker died for the last time
-- allowed become dead letters. Returns (id, actor, queue, whether it is dead), and a row of nulls for each process that is
-- gone: what it claimed within the last young_seconds is left for the next rescue. Called by every Lifeline; SKIP LOCKED
-- shares.
--
-- A process is gone when its beat is older than its lease, or when it missed its beat and its connection is gone, too:
-- a stalled process still has its connection, a living one that lost its connection beats again at once over another.
-- After a start of the server everybody gets a lease's time to come back. Served by processes_pkey, queue_running,
-- queue_pkey.
with gone as materialized (
    select p.process_id
      from pgbroker.processes p
     where pg_postmaster_start_time() < now() - p.lease_seconds * interval '1 second'
       and (p.beat_at < now() - p.lease_seconds * interval '1 second'
            or (coalesce(p.beat_due_at, p.beat_at + interval '1.3 s') < now()
                and p.backend_pid is not null
                and not exists (select from pg_stat_activity a where a.pid = p.backend_pid)))
       for update skip locked
), orphaned as materialized (
    select q.message_id, q.deaths
      from dramatiq.queue q
     where q.state = 'consumed'
       -- also guards a claim that is newer than this statement's view of the processes
       and coalesce(q.started_at, '-infinity') < now() - %(young_seconds)s * interval '1 second'
       and not exists (select from pgbroker.processes p
                        where p.process_id = q.process_id and p.process_id not in (select process_id from gone))
       for update skip locked
), killers as (
    delete from dramatiq.queue q
     using orphaned
     where q.message_id = any (array(select message_id from orphaned))  -- see finish_rescheduled.sql
       and q.message_id = orphaned.message_id and orphaned.deaths + 1 >= %(most_deaths)s
    returning q.*
), dead as (
    insert into pgbroker.dead_letters (message_id, queue_name, actor_name, tenant, message, priority, created_at,
                                       process_id, deliveries, retries, reason, error, history)
    select message_id, queue_name, actor_name, tenant, coalesce(message, 'null'), priority, created_at,
           process_id, deliveries, retries, 'killed its worker',
           %(most_deaths)s || ' worker processes died while they held this message.',
           pgbroker.with_event(history, 'rescued', 'its worker was lost', started_at)
      from killers
    on conflict (message_id) do update
       set died_at = excluded.died_at, process_id = excluded.process_id, deliveries = excluded.deliveries,
           retries = excluded.retries, reason = excluded.reason, error = excluded.error, history = excluded.history
    returning message_id, actor_name, queue_name
), requeued as (
    update dramatiq.queue q
       set state = 'queued',
           -- At once the first time. After that spread out, so that bystanders of a poison message part from it.
           run_at = now() + case when orphaned.deaths = 0 then 0 else random() * 10 end * interval '1 second',
           mtime = now(),
           process_id = null,
           lease_token = null,
           started_at = null,
           last_error = 'its worker was lost',
           deaths = q.deaths + 1,
           history = pgbroker.with_event(q.history, 'rescued', 'its worker was lost', q.started_at)
      from orphaned
     where q.message_id = any (array(select message_id from orphaned))
       and q.message_id = orphaned.message_id and orphaned.deaths + 1 < %(most_deaths)s
    returning q.message_id, q.actor_name, q.queue_name
), forgotten as (
    delete from pgbroker.processes where process_id in (select process_id from gone) returning counters
), counted as (
    insert into pgbroker.totals (name, value)
    select c.key, sum(c.value::double precision)
      from forgotten, jsonb_each_text(forgotten.counters) c
     group by c.key
     order by c.key
    on conflict (name) do update set value = totals.value + excluded.value
)
select message_id::text, actor_name, queue_name, true from dead
union all
select message_id::text, actor_name, queue_name, false from requeued
union all
select null, null, null, null from forgotten
