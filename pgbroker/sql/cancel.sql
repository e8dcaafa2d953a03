-- Cancel messages: one that waits becomes a dead letter, of one that runs its worker is asked to interrupt it. Returns
-- (id, what happened) of those that are there. Called by pgbroker.operate. Served by queue_pkey.
-- Locked in the order in which finishes lock; who is being claimed at this moment is seen as running.
with wanted as materialized (
    select message_id, state
      from dramatiq.queue
     where message_id = any (%(ids)s::uuid[]) and state in ('queued', 'consumed')
     order by message_id
       for update
), left_queue as (
    delete from dramatiq.queue q
     using wanted
     where q.message_id = wanted.message_id and wanted.state = 'queued'
    returning q.*
), dead as (
    insert into pgbroker.dead_letters (message_id, queue_name, actor_name, tenant, message, priority, created_at,
                                       deliveries, retries, reason, error, history)
    select message_id, queue_name, actor_name, tenant, coalesce(message, 'null'), priority, created_at,
           deliveries, retries, 'cancelled', last_error, pgbroker.with_event(history, 'cancelled', null, null)
      from left_queue
    -- a message that died before and that somebody sent again under its old id
    on conflict (message_id) do update
       set died_at = excluded.died_at, process_id = null, deliveries = excluded.deliveries, retries = excluded.retries,
           reason = excluded.reason, error = excluded.error, traceback = null, history = excluded.history,
           message = excluded.message
    returning message_id
), asked as (
    update dramatiq.queue q
       set cancel_at = coalesce(q.cancel_at, now())
      from wanted
     where q.message_id = wanted.message_id and wanted.state = 'consumed'
    returning q.message_id
)
select message_id::text, 'cancelled' from dead
union all
select message_id::text, 'asked its worker' from asked
