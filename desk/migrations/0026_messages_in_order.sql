-- What is said stays in order: where the host's clock steps back, and where messages are imported out of order.

-- A message that is written now follows what was said before it, whatever the host's clock says by now: who spoke last decides
-- whether a reopened ticket owes a reply. One that is dated back keeps its date. One look into ticket_messages_of_ticket.
create function ticket_messages_in_order() returns trigger
    language plpgsql set search_path = public as $$
begin
    if new.created_at >= happening_at() then
        new.created_at := greatest(new.created_at, (
            select max(m.created_at) from ticket_messages m
             where (m.organization_id, m.ticket_id) = (new.organization_id, new.ticket_id)));
    end if;
    return new;
end $$;
create trigger ticket_messages_in_order before insert on ticket_messages
    for each row execute function ticket_messages_in_order();

-- As before (0013), but a message that is dated back neither answers what was asked after it, nor asks what was answered since.
create or replace function ticket_messages_run_clocks() returns trigger
    language plpgsql set search_path = public as $$
declare
    at       constant timestamptz := least(new.created_at, happening_at());
    late     constant boolean := new.created_at < happening_at();  -- it is dated back: by who imports what was said
    answers  text[] := '{first_response,next_response}';
    ticket   tickets;
begin
    select * into ticket from tickets t
     where (t.organization_id, t.id) = (new.organization_id, new.ticket_id) for no key update;
    if new.author_kind = 'agent' then
        perform sla_settle(ticket.id, at);
        if late and exists (select from sla_clocks c
                             where c.ticket_id = ticket.id and c.metric = 'next_response' and c.state <> 'stopped'
                               and c.started_at > at) then
            answers := '{first_response}';  -- nobody answers what was asked afterwards
        end if;
        perform sla_stop(ticket.id, answers, at);
        update tickets t set first_response_at = at
         where (t.organization_id, t.id) = (ticket.organization_id, ticket.id) and t.first_response_at is null;
    elsif ticket.first_response_at is not null and ticket.status not in ('new', 'resolved', 'closed')
          and not exists (select from sla_clocks c where c.ticket_id = ticket.id
                             and c.metric <> 'resolution' and c.state <> 'stopped')
          and not (late and exists (select from ticket_messages m  -- it has its answer
                                     where (m.organization_id, m.ticket_id) = (new.organization_id, new.ticket_id)
                                       and m.created_at > new.created_at and m.is_public and m.author_kind = 'agent')) then
        perform sla_start(ticket, '{next_response}', at);
        perform sla_settle(ticket.id, happening_at());
    end if;
    return null;
end $$;
