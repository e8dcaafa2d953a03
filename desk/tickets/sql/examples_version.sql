-- How many labelled tickets there are to learn from, how many have a vector, and a value that changes when one comes, goes
-- or is labelled anew. Called by desk.tickets.examples before each use of what a process has fitted; index: tickets_labelled.
select count(*), count(e.ticket_id), sum(hashtextextended(concat_ws('|', t.id, t.revision, t.category, t.priority, t.tags), 0))
  from (select id, revision, category, priority, tags
          from tickets
         where organization_id = %(organization_id)s and category_by = 'person'
         order by created_at desc
         limit %(newest)s) t
  left join ticket_embeddings e on e.organization_id = %(organization_id)s and e.ticket_id = t.id
                               and e.model = %(model)s and e.revision = t.revision
