-- The message that waits under a unique_key. Called by a send that inserted nothing. Served by queue_unique_key.
select message_id::text
  from dramatiq.queue
 where unique_key = %(unique_key)s and state = 'queued'
