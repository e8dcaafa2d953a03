-- The policies of an organization in the order in which they are asked, retired ones last. Called by desk.sla.published.
-- Served by sla_policy_versions' unique (policy_id, version) and sla_targets' primary key.
select p.name, v.version, v.position, v.is_default as "default", c.name as calendar, v.conditions,
       (select jsonb_object_agg(t.metric, t.by_priority)
          from (select metric, jsonb_object_agg(priority, target_seconds) as by_priority
                  from sla_targets where policy_version_id = v.id group by metric) t) as targets_in_seconds,
       (select jsonb_object_agg(t.metric, t.thresholds)
          from (select distinct metric, thresholds from sla_targets where policy_version_id = v.id) t) as thresholds,
       (select count(*) from sla_steps s where s.policy_version_id = v.id) as escalation_steps,
       v.published_at, p.retired_at
  from sla_policies p
  join lateral (select * from sla_policy_versions w where w.policy_id = p.id order by w.version desc limit 1) v on true
  left join calendars c on c.id = v.calendar_id
 where p.organization_id = %(organization_id)s
 order by p.retired_at is not null, v.is_default, v.position, p.name;
