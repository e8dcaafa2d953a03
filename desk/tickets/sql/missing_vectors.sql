-- Which of the newest labelled tickets have no vector of this model and their present revision. Called by
-- desk.tickets.vectors.embed_missing; index: tickets_by_label, then the primary key of ticket_embeddings.
select t.id, t.revision, t.subject, left(t.body, %(longest)s)
  from (select id, revision, subject, body, labelled_at
          from tickets
         where organization_id = %(organization_id)s and labelled_at is not null
         order by labelled_at desc
         limit %(newest)s) t
 where not exists (select from ticket_embeddings e
                    where e.organization_id = %(organization_id)s and e.ticket_id = t.id
                      and e.model = %(model)s and e.revision = t.revision)
 order by t.labelled_at desc
