-- Tickets that may say the same as this one, older or newer, those that are still open first. Called by desk.tickets.similar;
-- indexes: primary key and possible_duplicates_of.
select other.id as ticket_id, other.subject, other.status, other.created_at, found.similarity, found.shared_words,
       found.same_requester, found.found_at
  from (select of_ticket_id as id, similarity, shared_words, same_requester, found_at
          from possible_duplicates
         where organization_id = %(organization_id)s and ticket_id = %(ticket_id)s
        union all
        select ticket_id, similarity, shared_words, same_requester, found_at
          from possible_duplicates
         where organization_id = %(organization_id)s and of_ticket_id = %(ticket_id)s) found
  join tickets other on other.organization_id = %(organization_id)s and other.id = found.id
 order by other.status in ('resolved', 'closed'), found.similarity desc, other.id
