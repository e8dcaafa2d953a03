-- What 0002, which is released, cannot rewrite in a table of dramatiq-pg: a message that is no JSON object, or whose due time
-- is no number. 0008 puts it back; a worker that cannot read it makes it a dead letter that says why. Where 0002 has run
-- already, nothing is set aside.

create table dramatiq.set_aside (
    message_id  uuid,
    queue_name  text,
    mtime       timestamptz,
    message     jsonb,
    result      jsonb,
    result_ttl  timestamptz
);

do $$ begin
    if to_regclass('pgbroker.dead_letters') is not null then
        return;
    end if;
    update dramatiq.queue set mtime = now() where mtime is null;
    with odd as (
        delete from dramatiq.queue
         where state in ('queued', 'consumed')
           and (jsonb_typeof(message) <> 'object'
                or jsonb_typeof(message -> 'options') <> 'object'
                or message -> 'options' ->> 'eta' !~ '^-?\d{1,14}(\.\d+)?$')
        returning *
    )
    insert into dramatiq.set_aside
    select message_id, queue_name, mtime, message, result, result_ttl from odd;
    -- What was rejected is a dead letter with 0002, which reads a count of retries in it.
    update dramatiq.queue set message = 'null' where state = 'rejected' and message is null;
    update dramatiq.queue
       set message = message #- '{options,retries}'
     where state = 'rejected' and message -> 'options' ->> 'retries' !~ '^\d{1,9}$';
end $$;
