-- A calendar, its versions with their periods, and the policy versions that named it and that no clock ever took; the audit row.
-- Called by desk.sla.published after calendar_uses. What is used after all makes the foreign keys fail.
with forgotten as (
    delete from sla_policy_versions where calendar_id = %(calendar_id)s
), gone as (
    delete from calendars where id = %(calendar_id)s returning organization_id, id, name
)
insert into audit_log (organization_id, who, action, subject_kind, subject_id, detail)
select organization_id, 'atum', 'delete_calendar', 'calendar', id::text,
       jsonb_build_object('name', name, 'versions', (select jsonb_agg(v.definition order by v.version)
                                                       from calendar_versions v where v.calendar_id = gone.id))
  from gone;
