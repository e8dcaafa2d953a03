-- A published version goes as a whole or not at all. Foreign keys keep versions that clocks use; nothing kept their parts:
-- who deleted a version's periods or targets changed every deadline that counts by them.

create function refuse_removal() returns trigger
    language plpgsql set search_path = public as $$
begin
    if tg_table_name <> 'calendar_periods'
       -- With its version, which is gone by then: a cascade deletes the parent first.
       and not exists (select from sla_policy_versions v where v.id = (to_jsonb(old) ->> 'policy_version_id')::uuid) then
        return old;
    end if;
    raise exception 'A published row of % is never deleted. Publish another version.', tg_table_name;
end $$;

-- The desk's role alone: a cascade acts as the table's owner, who may also have periods worked out anew (desk.sla.periods).
create trigger calendar_periods_whole before delete on calendar_periods
    for each row when (current_user = 'atum_worker') execute function refuse_removal();
create trigger sla_targets_whole before delete on sla_targets
    for each row execute function refuse_removal();
create trigger sla_steps_whole before delete on sla_steps
    for each row execute function refuse_removal();
