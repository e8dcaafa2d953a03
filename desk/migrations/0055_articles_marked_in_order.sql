-- As in 0040, but entries are locked in the order of their articles, as a worker locks those that it has: an import of what is
-- being indexed could end as the victim of a deadlock.
create or replace function articles_mark_stale() returns trigger
    language plpgsql set search_path = public as $$
begin
    insert into article_index (organization_id, article_id, wanted_revision)
    select changed.organization_id, changed.id, changed.revision
      from changed
     order by changed.id
    on conflict (organization_id, article_id) do update
       set wanted_revision = excluded.wanted_revision, state = 'pending', attempts = 0, last_error = null,
           wanted_at = now(),
           -- Who has it keeps it, and goes on with the new text and the vectors of what did not change.
           next_try_at = case when article_index.taken_by is null then now() else article_index.next_try_at end
     where article_index.wanted_revision <> excluded.wanted_revision;
    return null;
end $$;
