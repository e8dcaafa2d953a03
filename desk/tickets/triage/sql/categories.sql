-- The categories of an organization with their words and how many tickets people gave them to. Called by
-- desk.tickets.triage.categories.listed; indexes: tickets_labelled_category, primary key.
select coalesce(c.name, used.category) as name, coalesce(c.description, '') as description,
       coalesce(c.examples, '{}') as examples, coalesce(c.retired, false) as retired, coalesce(used.tickets, 0) as tickets
  from (select name, description, examples, retired from triage_categories
         where organization_id = %(organization_id)s) c
  full join (select category, count(*) as tickets from tickets
              where organization_id = %(organization_id)s and category_by = 'person'
              group by category) used on used.category = c.name
 order by 1
