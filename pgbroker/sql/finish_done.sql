-- Messages that are done leave the queue. Returns the ids whose lease still held. Called by Finisher and finish_in.
-- Served by queue_pkey. A lost commit means one more run, which is promised anyway: no fsync for it where `quiet`.
-- message_ids, lease_tokens: arrays; tokens are unique, so that which goes with which need not be said. Who has one runs:
-- with the state named as well, a plan made while nothing ran would read whatever runs.
with quiet as materialized (
    select case when %(quiet)s then set_config('synchronous_commit', 'off', true) end
), left_queue as (
    delete from dramatiq.queue q
     using quiet
     where q.message_id = any (%(message_ids)s::uuid[])
       and q.lease_token = any (%(lease_tokens)s::uuid[])
    returning q.*
)
insert into pgbroker.finished (message_id, queue_name, actor_name, tenant, message, created_at, started_at, process_id,
                               deliveries, retries, history)
select message_id, queue_name, actor_name, tenant, message, created_at, started_at, process_id,
       deliveries, retries, history
  from left_queue
-- a message that somebody sent again under its old id
on conflict (message_id) do update
   set started_at = excluded.started_at, finished_at = excluded.finished_at, process_id = excluded.process_id,
       deliveries = excluded.deliveries, retries = excluded.retries, history = excluded.history
returning message_id::text
