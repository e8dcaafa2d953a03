-- Escalation: what a policy wants done when a clock crosses a threshold, each step once.
--
-- sla_steps        the steps of a policy version, per metric and threshold
-- sla_escalations  one row per crossing and step, written by the statement that records the crossing, with its message

create table sla_steps (
    organization_id    uuid not null,
    policy_version_id  uuid not null,
    metric             text not null check (metric in ('first_response', 'next_response', 'resolution')),
    threshold          integer not null check (threshold between 1 and 100),
    place              integer not null,
    act                text not null check (act in ('raise_priority', 'assign', 'notify', 'run')),
    value              jsonb not null,
    primary key (policy_version_id, metric, threshold, place),
    foreign key (organization_id, policy_version_id)
        references sla_policy_versions (organization_id, id) on delete cascade
);
create index sla_steps_of_organization on sla_steps (organization_id);
call isolate_by_organization('sla_steps');
comment on column sla_steps.value is 'A priority, an agent, a list of agents, or an actor''s name, as JSON.';
create trigger sla_steps_immutable before update on sla_steps
    for each row execute function refuse_change();

create table sla_escalations (
    organization_id    uuid not null,
    ticket_id          uuid not null,
    metric             text not null,
    cycle              integer not null,
    threshold          integer not null,
    place              integer not null,
    policy_version_id  uuid not null,
    wanted_at          timestamptz not null default now(),
    done_at            timestamptz,
    outcome            text check (outcome in ('done', 'skipped')),
    reason             text,
    primary key (ticket_id, metric, cycle, threshold, place),
    check ((done_at is null) = (outcome is null)),
    foreign key (ticket_id, metric, cycle, threshold) references sla_crossings on delete cascade,
    foreign key (policy_version_id, metric, threshold, place) references sla_steps
        deferrable initially deferred
);
create index sla_escalations_by_age on sla_escalations (organization_id, wanted_at);
call isolate_by_organization('sla_escalations');
comment on table sla_escalations is 'Its key is why a step is taken once. Waiting while outcome is null: its message says more.';
comment on column sla_escalations.reason is 'Why a step was skipped.';

create function sla_crossings_escalate() returns trigger
    language plpgsql set search_path = public as $$
declare
    wanted   jsonb[];
    tenants  text[];
begin
    if not exists (select from sla_steps) then  -- of this organization: most have none
        return null;
    end if;
    with step as (
        insert into sla_escalations (organization_id, ticket_id, metric, cycle, threshold, place, policy_version_id)
        select n.organization_id, n.ticket_id, n.metric, n.cycle, n.threshold, s.place, s.policy_version_id
          from written n
          join sla_clocks c on (c.ticket_id, c.metric, c.cycle) = (n.ticket_id, n.metric, n.cycle)
          join sla_steps s on s.policy_version_id = c.policy_version_id and s.metric = n.metric and s.threshold = n.threshold
        on conflict do nothing
        returning *
    )
    select array_agg(jsonb_build_array(s.organization_id, s.ticket_id, s.metric, s.cycle, s.threshold, s.place)
                     order by s.ticket_id, s.threshold, s.place),
           array_agg(s.organization_id::text order by s.ticket_id, s.threshold, s.place)
      into wanted, tenants from step s;
    if wanted is not null then
        perform pgbroker.enqueue_many('escalate', wanted, queue => 'sla', tenants => tenants);
    end if;
    return null;
end $$;
create trigger sla_crossings_escalate after insert on sla_crossings
    referencing new table as written for each statement execute function sla_crossings_escalate();
