-- Pairs of open tickets that may say the same, the newer one first. Called by desk.tickets.results.keep_duplicates through
-- execute_values; a ticket that was closed or deleted meanwhile is left out. Index: primary keys.
insert into possible_duplicates (organization_id, ticket_id, of_ticket_id, similarity, shared_words, same_requester)
select this.organization_id,
       case when (this.created_at, this.id) >= (other.created_at, other.id) then this.id else other.id end,
       case when (this.created_at, this.id) >= (other.created_at, other.id) then other.id else this.id end,
       given.similarity, given.shared_words, given.same_requester
  from (values %s) given (organization_id, ticket_id, other_id, similarity, shared_words, same_requester)
  join tickets this on this.organization_id = given.organization_id and this.id = given.ticket_id
  join tickets other on other.organization_id = given.organization_id and other.id = given.other_id
 where other.status not in ('resolved', 'closed')
on conflict (organization_id, ticket_id, of_ticket_id) do update
   set (similarity, shared_words, same_requester, found_at) =
       (excluded.similarity, excluded.shared_words, excluded.same_requester, now())
