-- Whether a category may be answered: a labelled ticket has it, or it is described; and it is not retired. Called by
-- desk.tickets.jobs; indexes: tickets_labelled_category, primary key of triage_categories.
select (exists (select from tickets
                 where organization_id = %(organization_id)s and category = %(category)s and category_by = 'person')
        or exists (select from triage_categories
                    where organization_id = %(organization_id)s and name = %(category)s))
   and not exists (select from triage_categories
                    where organization_id = %(organization_id)s and name = %(category)s and retired)
