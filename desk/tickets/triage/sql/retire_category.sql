-- Retire a category that is described or that a labelled ticket has. Called by desk.tickets.triage.categories.retire, which sees by the
-- count whether there is such a one; indexes: primary key, tickets_labelled_category.
insert into triage_categories (organization_id, name, retired)
select %(organization_id)s, %(name)s, true
 where exists (select from tickets
                where organization_id = %(organization_id)s and category = %(name)s and category_by = 'person')
    or exists (select from triage_categories where organization_id = %(organization_id)s and name = %(name)s)
    on conflict (organization_id, name) do update set retired = true, set_at = clock_timestamp()
