-- How many messages of a queue are not finished, the ones of the future included. Called by PostgresBroker.join.
-- Served by queue_waiting and queue_running.
select count(*) from dramatiq.queue where queue_name = %(queue_name)s and state in ('queued', 'consumed')
