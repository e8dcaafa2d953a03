-- An organization's number of chunks and words as they are, should somebody have written past the triggers that keep it.
-- Called by desk.kb.reconciling, under the lock that swaps of articles take. Served by the primary key of chunks.
insert into kb_sizes as size (organization_id, chunks, words)
select %(organization_id)s::uuid, count(*), coalesce(sum(c.words), 0)
  from chunks c
 where c.organization_id = %(organization_id)s
on conflict (organization_id) do update
   set chunks = excluded.chunks, words = excluded.words
 where (size.chunks, size.words) is distinct from (excluded.chunks, excluded.words)
