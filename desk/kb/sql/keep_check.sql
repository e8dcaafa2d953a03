-- Keep what the last look counted. Called by desk.kb.reconciling; served by the primary key of kb_checks.
insert into kb_checks (organization_id, published, searchable, chunks, vectors, repaired, swept, lag_seconds)
values (%(organization_id)s, %(published)s, %(searchable)s, %(chunks)s, %(vectors)s, %(repaired)s, %(swept)s,
        %(lag_seconds)s)
on conflict (organization_id) do update
   set checked_at = now(), published = excluded.published, searchable = excluded.searchable, chunks = excluded.chunks,
       vectors = excluded.vectors, repaired = excluded.repaired, swept = excluded.swept,
       lag_seconds = excluded.lag_seconds
