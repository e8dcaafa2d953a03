-- What the sweep and the command line need to know about all organizations: ids and counts, never rows.

create function sla_organizations_due(at timestamptz) returns setof uuid
    language sql stable security definer set search_path = public, pg_temp as $$
    select o.id from organizations o
     where exists (select from sla_clocks c where c.organization_id = o.id and c.next_event_at <= at)
     order by o.id
$$;
comment on function sla_organizations_due is 'One look into sla_clocks_next_event per organization.';

create function sla_census(out running bigint, out without_clock bigint, out paused bigint)
    language sql stable security definer set search_path = public, pg_temp as $$
    select (select count(*) from sla_clocks where state = 'running'),
           (select count(*) from tickets t
             where t.status in ('accepted', 'assigned', 'in_progress', 'waiting_customer')
               and not exists (select from sla_clocks c where c.ticket_id = t.id)),
           (select count(*) from sla_clocks where state = 'paused')
$$;
comment on function sla_census is 'Clocks that run, open accepted tickets that no policy matches, clocks that stand.';

create function ticket_organization(ticket uuid) returns uuid
    language sql stable security definer set search_path = public, pg_temp
    return (select t.organization_id from tickets t where t.id = ticket);
comment on function ticket_organization is 'Whose a ticket is, for a command that is given only its id.';
