-- What triage gave to the ticket's present revision, and the categories that people use, none that is retired. Called by
-- desk.tickets.jobs; indexes: primary keys of triage_results and triage_categories, tickets_labelled.
select r.category, r.category_confidence, r.evidence,
       array(select distinct newest.category
               from (select category from tickets
                      where organization_id = %(organization_id)s and category_by = 'person'
                      order by created_at desc
                      limit 5000) newest
              where not exists (select from triage_categories c
                                 where c.organization_id = %(organization_id)s and c.name = newest.category and c.retired)
              order by 1
              limit 200) as labels
  from triage_results r
 where r.organization_id = %(organization_id)s and r.ticket_id = %(ticket_id)s and r.revision = %(revision)s
   and r.category is not null
