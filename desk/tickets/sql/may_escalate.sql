-- A row where the organization wants this anger, if it is any, escalated and the ticket never was. Called by
-- desk.tickets.results.keep_sentiment, which holds the ticket; indexes: primary keys.
select true
  from organization_settings s
 where s.organization_id = %(organization_id)s and s.sentiment and s.escalate_angry_above <= %(anger)s and %(anger)s > 0
   and not exists (select from sentiments e
                    where e.organization_id = %(organization_id)s and e.ticket_id = %(ticket_id)s and e.escalated)
