-- requires: vector
--
-- As in 0056, for what 0041 and 0046 make: where pgvector came later than 0056, so did they.
alter function vectors_missing(uuid, smallint) set search_path = public, pg_temp;
alter function embeddings_join_graph() set search_path = public, pg_temp;
alter function grow_graph(uuid, bigint) set search_path = public, pg_temp;
