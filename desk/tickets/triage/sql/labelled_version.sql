-- How many labelled tickets there are to learn from, how many have a vector, the latest label, and a value that changes when one
-- comes, goes or is labelled anew, or a category is retired. Called by desk.tickets.triage.labelled; index: tickets_by_label.
select count(*), count(e.ticket_id), max(t.labelled_at),
       concat_ws('|', sum(hashtextextended(concat_ws('|', t.id, t.revision, t.category_by, t.category, t.priority, t.tags, t.tags_by), 0)),
                 (select sum(hashtext(c.name)) from triage_categories c
                   where c.organization_id = %(organization_id)s and c.retired))
  from (select id, revision, category, category_by, priority, tags, tags_by, labelled_at
          from tickets
         where organization_id = %(organization_id)s and labelled_at is not null
         order by labelled_at desc
         limit %(newest)s) t
  left join ticket_embeddings e on e.organization_id = %(organization_id)s and e.ticket_id = t.id
                               and e.model = %(model)s and e.revision = t.revision
