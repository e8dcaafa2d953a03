-- How many messages of a queue are not finished, the ones of the future included. Called by PostgresBroker.join.
-- Served by queue_waiting, queue_limited_due and queue_running.
select (select count(*) from dramatiq.queue where queue_name = %(queue_name)s and state = 'queued' and run_key is null)
     + (select count(*) from dramatiq.queue where queue_name = %(queue_name)s and state = 'queued' and run_key is not null)
     + (select count(*) from dramatiq.queue where queue_name = %(queue_name)s and state = 'consumed')
