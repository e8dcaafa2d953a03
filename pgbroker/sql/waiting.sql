-- The message that waits under a unique_key. Called by a send that inserted nothing. Served by queue_unique_key.
-- The share lock keeps claims away until the sender commits: a run that began before would not see what it writes.
select message_id::text
  from dramatiq.queue
 where unique_key = %(unique_key)s and state = 'queued'
   for share
