-- A due time that can be computed with: one row with -infinity or a year before Christ, written by hand, kept every claim of
-- its queue from being read, and what they had taken stayed with their worker.

update dramatiq.queue set run_at = now() where run_at < 'epoch';
update dramatiq.queue set run_at = '9998-01-01 00:00 UTC' where run_at >= '9999-01-01 00:00 UTC';
alter table dramatiq.queue
    add constraint queue_run_at check (run_at >= 'epoch' and run_at < '9999-01-01 00:00 UTC');
comment on constraint queue_run_at on dramatiq.queue is
    'For at once leave run_at to its default. Infinity is no due time: cancel the message or pause its queue.';
