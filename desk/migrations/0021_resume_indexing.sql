-- The safety net under the articles' messages: which organizations have articles that are due and may have no message.

create function organizations_with_due_articles() returns setof uuid
    language sql stable security definer set search_path = public, pg_temp as $$
    select o.id
      from organizations o
     where exists (select from article_index i join models m on m.id = i.model_id and m.state = 'active'
                    where i.organization_id = o.id and i.state = 'pending' and i.next_try_at <= now())
$$;
comment on function organizations_with_due_articles is 'Ids only, for resume_indexing. One look into article_index_due each.';
