-- Clocks follow the ticket, whoever writes it, in the same transaction. Every change settles first.
--
--   accepted → start    waiting_customer → pause    resolved, closed → stop    back again → the resolution clock goes on
--   public reply of an agent → the response clocks stop     the customer writes again → a next_response cycle begins
--
-- Everything here runs under the lock of the ticket's row, so two changes of one ticket come one after the other.

create function sla_stance(status text) returns text
    language sql immutable parallel safe
    return case when status in ('resolved', 'closed') then 'stopped'
                when status in ('new', 'waiting_customer') then 'paused'
                else 'running' end;
comment on function sla_stance is 'What a status means for a clock that exists. None exists before the ticket is accepted.';

-- Start clocks for those of the metrics that the ticket's policy promises anything about. Returns how many.
create function sla_start(ticket tickets, metrics text[], at timestamptz) returns integer
    language plpgsql as $$
declare
    policy   record;
    started  integer;
begin
    -- A ticket keeps the versions that its first clock took.
    select c.policy_version_id, c.calendar_version_id, c.reason into policy
      from sla_clocks c where c.ticket_id = ticket.id order by c.targeted_at desc limit 1;
    if not found then
        select m.policy_version_id, m.calendar_version_id, m.reason into policy from sla_match(ticket) m;
        if not found then
            return 0;
        end if;
    end if;
    insert into sla_clocks (organization_id, ticket_id, metric, cycle, state, policy_version_id, calendar_version_id, reason,
                            priority, target_seconds, thresholds, targeted_at, started_at, running_since)
    select ticket.organization_id, ticket.id, t.metric,
           1 + (select count(*) from sla_clocks c where (c.ticket_id, c.metric) = (ticket.id, t.metric)),
           sla_stance(ticket.status), policy.policy_version_id, policy.calendar_version_id, policy.reason,
           t.priority, t.target_seconds, t.thresholds, at, at,
           case when sla_stance(ticket.status) = 'running' then at end
      from sla_targets t
     where t.policy_version_id = policy.policy_version_id and t.priority = ticket.priority and t.metric = any (metrics)
       and (t.metric = 'next_response'
            or not exists (select from sla_clocks c where (c.ticket_id, c.metric) = (ticket.id, t.metric)));
    get diagnostics started = row_count;
    return started;
end $$;

-- The clocks of an accepted ticket. (Its prediction is sent by tickets_send_prediction, 0006.)
create function sla_start_ticket(ticket tickets, at timestamptz) returns void
    language plpgsql as $$
begin
    perform sla_start(ticket, case when ticket.first_response_at is null then '{first_response,resolution}'::text[]
                                   else '{resolution}' end, at);
end $$;

-- Bank what running clocks have used; they stand afterwards.
create function sla_bank(ticket uuid, metrics text[], at timestamptz) returns void
    language plpgsql as $$
declare
    clock  sla_clocks;
    used   numeric;
begin
    for clock in select * from sla_clocks c where c.ticket_id = ticket and c.state = 'running' and c.metric = any (metrics) loop
        used := business_elapsed(clock.calendar_version_id, clock.running_since, at);
        insert into sla_spans (organization_id, ticket_id, metric, cycle, started_at, ended_at, used_before, used_seconds,
                               calendar_version_id)
        select clock.organization_id, clock.ticket_id, clock.metric, clock.cycle, clock.running_since, at,
               clock.used_seconds, used, clock.calendar_version_id
         where at > clock.running_since;  -- a transaction may have begun before the one that it waited for
        update sla_clocks c set state = 'paused', running_since = null, used_seconds = c.used_seconds + used
         where (c.ticket_id, c.metric, c.cycle) = (clock.ticket_id, clock.metric, clock.cycle);
    end loop;
end $$;

-- Stop clocks for good. The breach is recorded by now if there was one: a clock that has none was in time.
create function sla_stop(ticket uuid, metrics text[], at timestamptz) returns void
    language plpgsql as $$
begin
    perform sla_bank(ticket, metrics, at);
    update sla_clocks c
       set state = 'stopped', stopped_at = greatest(at, c.started_at),
           outcome = case when c.crossed = 100 then 'breached' else 'met' end
     where c.ticket_id = ticket and c.state = 'paused' and c.metric = any (metrics);
end $$;

create function sla_follow_status(old_status text, ticket tickets, at timestamptz) returns void
    language plpgsql as $$
declare
    everything constant text[] := '{first_response,next_response,resolution}';
    was        constant text := sla_stance(old_status);
    stance     constant text := sla_stance(ticket.status);
begin
    if stance = 'stopped' then
        perform sla_stop(ticket.id, everything, at);
        return;
    end if;
    if was = 'stopped' then
        update sla_clocks c set state = 'paused', stopped_at = null, outcome = null
         where c.ticket_id = ticket.id and c.metric = 'resolution';
        if not found then
            perform sla_start(ticket, '{resolution}', at);
        end if;
        if ticket.first_response_at is not null and 'customer' = (
                select m.author_kind from ticket_messages m
                 where (m.organization_id, m.ticket_id) = (ticket.organization_id, ticket.id)
                   and m.is_public and m.author_kind <> 'system'
                 order by m.created_at desc, m.seq desc limit 1) then
            perform sla_start(ticket, '{next_response}', at);
        end if;
    elsif old_status = 'new' and not exists (select from sla_clocks c where c.ticket_id = ticket.id) then
        perform sla_start_ticket(ticket, at);
    end if;
    if stance = 'paused' then
        perform sla_bank(ticket.id, everything, at);
    else
        update sla_clocks c set state = 'running', running_since = greatest(at, c.started_at)
         where c.ticket_id = ticket.id and c.state = 'paused';
    end if;
end $$;

-- Priority or a field that conditions name has changed: new target, same start, elapsed kept. The clock moves to another
-- policy's newest version, never to another version of its own.
create function sla_retarget(ticket tickets, at timestamptz) returns void
    language plpgsql as $$
declare
    policy   record;
    matched  record;
begin
    select v.policy_id, c.policy_version_id, c.calendar_version_id, c.reason into policy
      from sla_clocks c join sla_policy_versions v on v.id = c.policy_version_id
     where c.ticket_id = ticket.id order by c.targeted_at desc limit 1;
    if not found then
        if ticket.status <> 'new' then  -- none matched so far
            perform sla_start_ticket(ticket, at);
        end if;
        return;
    end if;
    select * into matched from sla_match(ticket);
    if matched.policy_id <> policy.policy_id then
        policy := matched;
    end if;
    if exists (select from sla_clocks c where c.ticket_id = ticket.id and c.state = 'running'
                  and c.calendar_version_id is distinct from policy.calendar_version_id) then
        perform sla_bank(ticket.id, '{first_response,next_response,resolution}', at);  -- used by the old calendar
    end if;
    update sla_clocks c
       set policy_version_id = policy.policy_version_id, calendar_version_id = policy.calendar_version_id,
           reason = policy.reason, priority = t.priority, target_seconds = t.target_seconds, thresholds = t.thresholds,
           targeted_at = case when c.target_seconds = t.target_seconds then c.targeted_at else at end
      from sla_targets t
     where c.ticket_id = ticket.id and c.state <> 'stopped'
       and t.policy_version_id = policy.policy_version_id and t.metric = c.metric and t.priority = ticket.priority
       and (c.policy_version_id, c.priority) is distinct from (policy.policy_version_id, ticket.priority);
    if sla_stance(ticket.status) = 'running' then
        update sla_clocks c set state = 'running', running_since = at where c.ticket_id = ticket.id and c.state = 'paused';
    end if;
end $$;

create function tickets_run_clocks() returns trigger
    language plpgsql set search_path = public as $$
declare
    at constant timestamptz := happening_at();
begin
    if tg_op = 'INSERT' then
        if new.status not in ('new', 'resolved', 'closed') then
            perform sla_start_ticket(new, new.accepted_at);
            perform sla_settle(new.id, at);
        end if;
        return null;
    end if;
    perform sla_settle(new.id, at);
    if new.status <> old.status then
        perform sla_follow_status(old.status, new, at);
    end if;
    if sla_stance(new.status) <> 'stopped'
       and (sla_stance(old.status) = 'stopped'  -- it may have changed meanwhile
            or (new.priority, new.category, new.tags, new.language, new.requester, new.assignee)
               is distinct from (old.priority, old.category, old.tags, old.language, old.requester, old.assignee)) then
        perform sla_retarget(new, at);
    end if;
    perform sla_settle(new.id, at);
    return null;
end $$;
create trigger tickets_run_clocks_insert after insert on tickets
    for each row execute function tickets_run_clocks();
create trigger tickets_run_clocks after update on tickets
    for each row when ((new.status, new.priority, new.category, new.tags, new.language, new.requester, new.assignee)
        is distinct from (old.status, old.priority, old.category, old.tags, old.language, old.requester, old.assignee))
    execute function tickets_run_clocks();

create function ticket_messages_run_clocks() returns trigger
    language plpgsql set search_path = public as $$
declare
    at      constant timestamptz := least(new.created_at, happening_at());
    ticket  tickets;
begin
    select * into ticket from tickets t
     where (t.organization_id, t.id) = (new.organization_id, new.ticket_id) for no key update;
    if new.author_kind = 'agent' then
        perform sla_settle(ticket.id, at);
        perform sla_stop(ticket.id, '{first_response,next_response}', at);
        update tickets t set first_response_at = at
         where (t.organization_id, t.id) = (ticket.organization_id, ticket.id) and t.first_response_at is null;
    elsif ticket.first_response_at is not null and ticket.status not in ('new', 'resolved', 'closed')
          and not exists (select from sla_clocks c where c.ticket_id = ticket.id
                             and c.metric <> 'resolution' and c.state <> 'stopped') then
        perform sla_start(ticket, '{next_response}', at);
        perform sla_settle(ticket.id, happening_at());
    end if;
    return null;
end $$;
create trigger ticket_messages_run_clocks after insert on ticket_messages
    for each row when (new.is_public and new.author_kind <> 'system')
    execute function ticket_messages_run_clocks();
