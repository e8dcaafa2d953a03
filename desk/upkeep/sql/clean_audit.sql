-- Audit rows of one organization beyond its keep_audit_days. Called by desk.upkeep.retention; index: audit_log_by_age.
delete from audit_log
 where id in (
       select a.id
         from audit_log a
        where a.organization_id = %(organization_id)s
          and a.at < (select now() - make_interval(days => s.keep_audit_days) from organization_settings s
                       where s.organization_id = %(organization_id)s)
        order by a.at
        limit %(batch)s)
