-- Vectors of the other open tickets of some days around this one's. Called by desk.tickets.duplicates; indexes:
-- tickets_by_status, then the primary key of ticket_embeddings.
select other.id, problem.vector
  from (select t.id, t.revision
          from tickets t
          join tickets this on this.organization_id = t.organization_id and this.id = %(ticket_id)s
         where t.organization_id = %(organization_id)s and t.id <> this.id
           and t.status in ('new', 'accepted', 'assigned', 'in_progress', 'waiting_customer')
           and t.created_at between this.created_at - make_interval(days => %(days)s)
                                and this.created_at + make_interval(days => %(days)s)
         order by t.created_at desc
         limit %(newest)s) other
  join ticket_embeddings problem
    on problem.organization_id = %(organization_id)s and problem.ticket_id = other.id
   and problem.model = %(model)s and problem.revision = other.revision
