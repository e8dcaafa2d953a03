-- Let workers claim from a queue again. Called by pgbroker.operate. Served by queues_pkey.
update pgbroker.queues set paused_at = null where queue_name = %(queue_name)s
