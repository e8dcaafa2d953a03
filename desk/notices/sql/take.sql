-- Take a mail or a post in hand. Called by desk.notices.outbox; served by the primary key. No row: another message has it,
-- or it has left. A message that comes again (its worker died, or it was a dead letter that somebody retried) takes its own.
update dispatches o
   set state = 'waiting', ended_at = null, attempts = o.attempts + 1, tried_at = now(),
       claimed_by = %(by)s, claimed_until = now() + make_interval(secs => %(claim_seconds)s)
 where o.id = %(id)s
   and case o.state
       when 'waiting' then o.claimed_by = %(by)s or o.claimed_until is null or o.claimed_until < now()
       when 'dead' then o.claimed_by = %(by)s
       else false end
returning o.id, o.channel, o.address, o.agent, o.created_at, o.attempts;
