-- Versions beyond those that are kept. Called by desk.tickets.triage.triage_models.end; index: primary key.
delete from triage_models
 where organization_id = %(organization_id)s and what = %(what)s
   and version in (select version
                     from triage_models
                    where organization_id = %(organization_id)s and what = %(what)s and state in ('retired', 'rejected')
                    order by version desc
                   offset %(kept)s)
