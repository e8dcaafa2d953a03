-- Let nobody claim from a queue; one that is paused keeps its instant. Called by pgbroker.operate. Served by queues_pkey.
insert into pgbroker.queues (queue_name, paused_at)
values (%(queue_name)s, now())
on conflict (queue_name) do update set paused_at = coalesce(queues.paused_at, excluded.paused_at)
