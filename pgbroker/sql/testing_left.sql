-- One message that is not finished, of these queues; the ones of the future included. Called by pgbroker.testing.
-- Reads the table: a test's is small.
select queue_name as queue, actor_name as actor, message_id::text as message, state::text, run_at::text as due,
       last_error as error
  from dramatiq.queue
 where queue_name = any (%(queues)s::text[]) and state in ('queued', 'consumed')
 limit 1
