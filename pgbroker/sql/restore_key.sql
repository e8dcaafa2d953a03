-- Give a message that waits again without having begun the unique_key that its claim took. Called by Engine, a statement for
-- each, when they have been given back: while somebody sends with that key, or once he has, it stays without. Served by
-- queue_pkey and queue_unique_key.
with patience as materialized (select set_config('lock_timeout', '50ms', true))
update dramatiq.queue q
   set unique_key = %(unique_key)s
  from patience
 where q.message_id = %(message_id)s::uuid and q.state = 'queued' and q.unique_key is null
   and not exists (select from dramatiq.queue w where w.state = 'queued' and w.unique_key = %(unique_key)s)
