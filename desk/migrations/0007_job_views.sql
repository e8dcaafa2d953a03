-- Jobs as the help desk's people know them: `job_queue` with five statuses, and `job_events`, what happened to each.
--
-- Both read the broker's tables. Where app.organization_id is set they show that organization's jobs alone; without it,
-- in psql or for a dashboard, all. A tenant that is no UUID (another program's messages) has no organization here.

create function job_type(actor_name text) returns text
    language sql immutable parallel safe
    return case actor_name
               when 'suggest_articles' then 'KB_SUGGEST'
               when 'draft_reply' then 'SMART_REPLY'
               when 'read_sentiment' then 'SENTIMENT_ANALYSIS'
               when 'predict_sla' then 'SLA_PREDICT'
               when 'snapshot_metrics' then 'METRICS_SNAPSHOT'
               when 'clean_up' then 'CLEANUP_LOGS'
               else upper(actor_name)
           end;
comment on function job_type is 'The name that the desk''s people know an actor''s work by; triage_ticket is TRIAGE_TICKET.';

create function tenant_organization(tenant text) returns uuid
    language sql immutable parallel safe
    return case when tenant ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then tenant::uuid end;

create view job_queue with (security_barrier) as
select j.message_id as id,
       tenant_organization(j.tenant) as organization_id,
       job_type(j.actor_name) as job_type,
       jsonb_build_object('args', j.message -> 'args', 'kwargs', j.message -> 'kwargs') as payload,
       j.status,
       j.locked_by,
       j.locked_at,
       j.run_after,
       j.retries as retry_count,
       coalesce(case when j.message -> 'options' ->> 'max_retries' ~ '^\d{1,9}$'
                     then (j.message -> 'options' ->> 'max_retries')::integer end,
                a.max_retries) as max_retries,
       j.last_error,
       j.created_at,
       j.updated_at
  from (
    select q.message_id, q.tenant, q.actor_name, q.message, q.retries, q.last_error, q.created_at, q.mtime as updated_at,
           case when q.state = 'consumed' then 'RUNNING' when q.retries > 0 then 'FAILED' else 'PENDING' end as status,
           case when q.state = 'consumed' then p.host || ':' || p.pid end as locked_by,
           q.started_at as locked_at,
           q.run_at as run_after
      from dramatiq.queue q
      left join pgbroker.processes p on p.process_id = q.process_id
     where q.state in ('queued', 'consumed')
    union all
    select message_id, tenant, actor_name, message, retries, null, created_at, finished_at, 'DONE', null, null, null
      from pgbroker.finished
    union all
    select message_id, tenant, actor_name, message, retries, coalesce(error, reason), created_at, died_at, 'DEAD',
           null, null, null
      from pgbroker.dead_letters
  ) j
  left join pgbroker.actors a on a.actor_name = j.actor_name
 where current_organization() is null or j.tenant = current_organization()::text;
comment on view job_queue is
    'Every message: PENDING, RUNNING, DONE, FAILED (waits for its next attempt) or DEAD (failed for good).';

create view job_events with (security_barrier) as
with jobs as (
    select message_id, tenant, actor_name, created_at, started_at, history, null::timestamptz as ended_at,
           null as ending, null as detail
      from dramatiq.queue where state in ('queued', 'consumed')
    union all
    select message_id, tenant, actor_name, created_at, started_at, history, finished_at, 'done', null
      from pgbroker.finished
    union all
    select message_id, tenant, actor_name, created_at, null, history, died_at, 'dead', reason
      from pgbroker.dead_letters
)
select j.message_id as job_id,
       tenant_organization(j.tenant) as organization_id,
       job_type(j.actor_name) as job_type,
       e.at,
       e.event,
       e.detail
  from jobs j
 cross join lateral (
    select j.created_at, 'created', null
    union all
    select (h.entry ->> 'began_at')::timestamptz, 'claimed', null
      from jsonb_array_elements(j.history) h (entry) where h.entry ? 'began_at'
    union all
    select (h.entry ->> 'at')::timestamptz, h.entry ->> 'event', h.entry ->> 'error'
      from jsonb_array_elements(j.history) h (entry)
    union all
    select j.started_at, 'claimed', null where j.started_at is not null
    union all
    select j.ended_at, j.ending, j.detail where j.ending is not null
  ) e (at, event, detail)
 where current_organization() is null or j.tenant = current_organization()::text;
comment on view job_events is
    'created, claimed, then retried, rescued, released or failed, and at last done or dead; revived: a person sent it again.';
