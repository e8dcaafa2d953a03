-- Which of the newest resolved tickets lack the vector of their present text, or of their last public answer, by this model.
-- Called by desk.tickets.similar.index; index: tickets_resolved, then the primary keys and ticket_messages_of_ticket.
select newest.id, newest.revision, newest.subject, newest.body,
       problem.ticket_id is null as lacks_problem,
       case when solution.message_seq is distinct from answer.seq then answer.seq end as seq,
       case when solution.message_seq is distinct from answer.seq then answer.body end as answer,
       md5(answer.body) as answer_md5
  from (select id, revision, subject, body, resolved_at
          from tickets
         where organization_id = %(organization_id)s and resolved_at is not null
         order by resolved_at desc
         limit %(newest)s) as newest
  left join ticket_embeddings as problem
    on problem.organization_id = %(organization_id)s and problem.ticket_id = newest.id
   and problem.model = %(model)s and problem.revision = newest.revision
  left join ticket_resolutions as solution
    on solution.organization_id = %(organization_id)s and solution.ticket_id = newest.id and solution.model = %(model)s
  left join lateral (select message.seq, message.body
                       from ticket_messages as message
                      where message.organization_id = %(organization_id)s and message.ticket_id = newest.id
                        and message.author_kind = 'agent' and message.is_public and btrim(message.body) <> ''
                      order by message.created_at desc, message.seq desc
                      limit 1) as answer on true
 where problem.ticket_id is null
    or solution.message_seq is distinct from answer.seq and answer.seq is not null
 order by newest.resolved_at desc
 limit %(batch)s
