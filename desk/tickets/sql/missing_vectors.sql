-- Which of the newest labelled tickets have no vector of this model and their present revision. Called by
-- desk.tickets.vectors.embed_missing; index: tickets_labelled, then the primary key of ticket_embeddings.
select t.id, t.revision, left(t.subject || e'\n\n' || t.body, %(longest)s)
  from (select id, revision, subject, body, created_at
          from tickets
         where organization_id = %(organization_id)s and category_by = 'person'
         order by created_at desc
         limit %(newest)s) t
 where not exists (select from ticket_embeddings e
                    where e.organization_id = %(organization_id)s and e.ticket_id = t.id
                      and e.model = %(model)s and e.revision = t.revision)
 order by t.created_at desc
