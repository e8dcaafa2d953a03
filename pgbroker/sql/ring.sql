-- Ring for the idle workers of these queues, where there are any. Called by Doorbell outside the sender's transaction: a
-- notification in a transaction would put all commits in a row. Losing it is harmless, workers look by themselves.
with quiet as materialized (select set_config('synchronous_commit', 'off', true))
select pg_notify(d.channel, '')
  from quiet, unnest(%(queues)s::text[], %(channels)s::text[]) d (queue_name, channel)
 where exists (select from pgbroker.processes p where p.hears_until > now() and d.queue_name = any (p.queues))
