-- What became of a mail or a post that a message has in hand. Called by desk.notices.outbox; served by the primary key. No
-- row: another message has taken it over. While its state is `waiting` it is to be tried again.
update dispatches o
   set state = %(state)s, error = %(error)s, claimed_until = null,
       ended_at = case when %(state)s <> 'waiting' then now() end
 where o.id = %(id)s and o.state = 'waiting' and o.claimed_by = %(by)s
returning o.id;
