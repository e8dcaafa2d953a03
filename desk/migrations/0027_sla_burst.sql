-- A burst without questions. A foreign key asks for each row whether what it refers to is there: a fifth of the time of a
-- burst. Crossings and what is told of them are written by one function (sla_record_crossings) that holds the rows of their
-- clocks locked, and notifications pass row-level security, which knows their organization: what they refer to is there.
-- What the keys did when it goes is done here, by the statement.

alter table notifications
    drop constraint notifications_organization_id_fkey,
    drop constraint notifications_ticket_id_metric_cycle_threshold_fkey;
alter table sla_crossings drop constraint sla_crossings_ticket_id_metric_cycle_fkey;

-- Whoever deletes a clock waits for the sweep that has it in hand, and sees what that has written. As the owner, as a
-- cascade would: who deletes a ticket need not be its organization.
create function sla_clocks_gone() returns trigger
    language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from sla_crossings c using gone g
     where (c.ticket_id, c.metric, c.cycle) = (g.ticket_id, g.metric, g.cycle);
    return null;
end $$;
create trigger sla_clocks_gone after delete on sla_clocks
    referencing old table as gone for each statement execute function sla_clocks_gone();

create function sla_crossings_gone() returns trigger
    language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from notifications n using gone g
     where (n.ticket_id, n.metric, n.cycle, n.threshold) = (g.ticket_id, g.metric, g.cycle, g.threshold);
    return null;
end $$;
create trigger sla_crossings_gone after delete on sla_crossings
    referencing old table as gone for each statement execute function sla_crossings_gone();

-- What was told about no ticket.
create function organizations_gone() returns trigger
    language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from notifications n using gone g where n.organization_id = g.id;
    return null;
end $$;
create trigger organizations_gone after delete on organizations
    referencing old table as gone for each statement execute function organizations_gone();

comment on table sla_crossings is
    'Each threshold a clock crossed. Its key is why nothing is told twice. It goes with its clock (sla_clocks_gone).';
comment on column notifications.ticket_id is 'With metric, cycle and threshold: the crossing it tells, with which it goes.';
