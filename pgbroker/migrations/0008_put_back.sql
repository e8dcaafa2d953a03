-- What 0001b set aside waits again.

insert into dramatiq.queue (message_id, queue_name, state, mtime, created_at, message, result, result_ttl)
select message_id, regexp_replace(queue_name, '\.DQ$', ''), 'queued', mtime, mtime, message, result, result_ttl
  from dramatiq.set_aside;
drop table dramatiq.set_aside;
