-- What an organization wants, one row. Called by desk.notices.store. Primary keys.
insert into notice_settings (organization_id, timezone, mail_on, mail_from, mail_kinds, queue_addresses, gather_seconds,
                             quiet_hours, quiet_holds)
select o.organization_id, coalesce(%(timezone)s, o.timezone), %(mail_on)s, %(mail_from)s, %(mail_kinds)s::text[],
       %(queue_addresses)s::text[], %(gather_seconds)s, %(quiet_hours)s, %(quiet_holds)s::text[]
  from organization_settings o
 where o.organization_id = %(organization_id)s
on conflict (organization_id) do update
   set (timezone, mail_on, mail_from, mail_kinds, queue_addresses, gather_seconds, quiet_hours, quiet_holds, set_at)
     = (excluded.timezone, excluded.mail_on, excluded.mail_from, excluded.mail_kinds, excluded.queue_addresses,
        excluded.gather_seconds, excluded.quiet_hours, excluded.quiet_holds, now());
