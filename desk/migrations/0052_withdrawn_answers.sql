-- What helped is shown beside similar tickets as it was indexed: an answer that is edited, withdrawn or deleted since goes, and
-- the message that indexes what is public now is sent.

create function ticket_messages_forget_answer() returns trigger
    language plpgsql set search_path = public as $$
begin
    delete from ticket_resolutions
     where organization_id = old.organization_id and ticket_id = old.ticket_id and message_seq = old.seq;
    if found and exists (select from tickets t
                          where t.organization_id = old.organization_id and t.id = old.ticket_id and t.resolved_at is not null) then
        perform pgbroker.enqueue('index_tickets', args => jsonb_build_array(old.organization_id), queue => 'tickets',
                                 unique_key => 'index_tickets:' || old.organization_id, tenant => old.organization_id::text);
    end if;
    return null;
end $$;
-- At the end of the transaction, so that it never waits for another's message while it holds rows that the other wants.
create constraint trigger ticket_messages_forget_answer after update of body, is_public, author_kind on ticket_messages
    deferrable initially deferred for each row
    when ((old.body, old.is_public, old.author_kind) is distinct from (new.body, new.is_public, new.author_kind))
    execute function ticket_messages_forget_answer();
create constraint trigger ticket_messages_forget_answer_on_delete after delete on ticket_messages
    deferrable initially deferred for each row when (old.author_kind = 'agent')
    execute function ticket_messages_forget_answer();

-- What was edited, withdrawn or deleted before: the hourly look indexes what is public now.
delete from ticket_resolutions r
 where not exists (select from ticket_messages m
                    where m.organization_id = r.organization_id and m.ticket_id = r.ticket_id and m.seq = r.message_seq
                      and m.is_public and m.author_kind = 'agent' and coalesce(is_quoted(r.text, m.body), true));
