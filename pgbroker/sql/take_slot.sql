-- Claim a tick: a row when it is ours to send, none when it or a later one was sent. Called by Scheduler in the
-- transaction that also inserts the message. Served by slots_pkey.
insert into pgbroker.slots (actor_name, slot_at, message_id)
select %(actor_name)s, %(slot_at)s, %(message_id)s::uuid
 where not exists (select from pgbroker.slots where actor_name = %(actor_name)s and slot_at > %(slot_at)s)
on conflict do nothing
returning slot_at
