-- Whether people still use an intent is asked for each ticket that a stored model answers, as it is of categories.
create index tickets_labelled_intent on tickets (organization_id, intent) where intent_by = 'person';
