-- Which policy holds for a ticket: the first in order whose conditions all hold, else the default; and why.

create function sla_condition_holds(ticket jsonb, field text, wanted jsonb) returns boolean
    language sql immutable parallel safe as $$
    select exists (
        select from jsonb_array_elements_text(
                        case jsonb_typeof(wanted) when 'array' then wanted else jsonb_build_array(wanted) end) as value
         where value <> ''  -- a blank condition matches nothing
           and case jsonb_typeof(ticket -> field)
                   when 'array' then ticket -> field ? value
                   else ticket ->> field = value
               end)
$$;

create function sla_match(ticket tickets)
    returns table (policy_id uuid, policy_version_id uuid, calendar_version_id uuid, reason text)
    language sql stable as $$
    select v.policy_id, v.id, c.id,
           case when v.is_default then format('default policy "%s" version %s', p.name, v.version)
                else format('policy "%s" version %s: %s', p.name, v.version, (
                    select string_agg(format('%s is %s', condition.key, to_jsonb(ticket) ->> condition.key), ', '
                                      order by condition.key)
                      from jsonb_each(v.conditions) as condition))
           end
      from sla_policies p
      join lateral (select * from sla_policy_versions w where w.policy_id = p.id order by w.version desc limit 1) v on true
      left join lateral (select w.id from calendar_versions w where w.calendar_id = v.calendar_id
                          order by w.version desc limit 1) c on true
     where p.organization_id = ticket.organization_id
       and p.retired_at is null
       and (v.is_default
            or v.conditions <> '{}' and not exists (
                select from jsonb_each(v.conditions) as condition
                 where not sla_condition_holds(to_jsonb(ticket), condition.key, condition.value)))
     order by v.is_default, v.position, p.name
     limit 1
$$;
comment on function sla_match is 'No row where no policy matches: the ticket has no clock then.';
