-- As in 0038, but a cited reply's ticket is locked as the reply itself is: a ticket that was opened again while a draft citing it was
-- being written saw no draft to mark, and the draft did not see the ticket open.
create or replace function drafts_check_citations() returns trigger
    language plpgsql set search_path = public as $$
declare
    cited  record;
    marks  integer[];
begin
    if new.body is not null then
        select coalesce(array_agg(distinct mark[1]::integer order by mark[1]::integer), '{}') into marks
          from regexp_matches(new.body, '\[(\d{1,4})\]', 'g') as mark;
        if marks is distinct from (select coalesce(array_agg(c.mark order by c.mark), '{}')
                                     from jsonb_to_recordset(new.citations) as c (mark integer)) then
            raise exception 'the marks of the draft are not those of its citations'
                using errcode = 'check_violation', constraint = 'drafts_citations_exist';
        end if;
    end if;
    for cited in
        select c.* from jsonb_to_recordset(new.citations) as c
               (mark integer, article_id uuid, article_revision integer, chunk integer, ticket_id uuid, message_id uuid,
                text text)
         order by c.article_id, c.message_id  -- two drafts lock in the same order
    loop
        if cited.article_id is not null then
            perform from articles a
              where a.organization_id = new.organization_id and a.id = cited.article_id
                and a.revision = cited.article_revision and a.visibility = 'public' and a.status = 'published'
                and a.deleted_at is null
                for share;
            continue when found and exists (
                select from chunks c
                 where c.organization_id = new.organization_id and c.article_id = cited.article_id
                   and c.article_revision = cited.article_revision and (cited.chunk is null or c.ord = cited.chunk)
                   and is_quoted(cited.text, c.text));
        elsif cited.message_id is not null then
            -- The ticket as well: one that is opened again at the same time waits, then marks the draft.
            perform from ticket_messages m
               join tickets t on t.organization_id = m.organization_id and t.id = m.ticket_id
              where m.organization_id = new.organization_id and m.id = cited.message_id and m.ticket_id = cited.ticket_id
                and m.is_public and m.author_kind = 'agent' and t.status in ('resolved', 'closed')
                and is_quoted(cited.text, m.body)
                for share of m, t;
            continue when found;
        end if;
        raise exception 'citation [%] of the draft is of nothing public that says so', coalesce(cited.mark::text, '?')
            using errcode = 'check_violation', constraint = 'drafts_citations_exist';
    end loop;
    return new;
end $$;
