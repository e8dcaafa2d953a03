-- Whether an intent may be answered: a ticket has it from a person. Called by desk.tickets.jobs; index: tickets_labelled_intent.
select exists (select from tickets
                where organization_id = %(organization_id)s and intent = %(intent)s and intent_by = 'person')
