-- Keep the vectors of descriptions that still say what was embedded. Called by desk.tickets.triage.categories through execute_values;
-- index: primary key.
update triage_categories c
   set embed_model = v.embed_model, vectors = v.vectors
  from (values %s) v (organization_id, name, description, examples, embed_model, vectors)
 where c.organization_id = v.organization_id and c.name = v.name and c.description = v.description
   and c.examples = v.examples
