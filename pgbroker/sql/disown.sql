-- Give back what this process claimed without knowing: the connection was lost before the claim's answer. Returns ids.
-- Called by Engine before its next claims, never beside one. Served by queue_running. tokens: every lease it knows of.
update dramatiq.queue q
   set state = 'queued', mtime = now(), process_id = null, lease_token = null, started_at = null,
       history = pgbroker.with_event(q.history, 'released', null, q.started_at)
 where q.state = 'consumed' and q.process_id = %(process_id)s::uuid and q.lease_token <> all (%(tokens)s::uuid[])
returning q.message_id::text
