-- requires: vector
--
-- As in 0056. 0041 replaces this one; where pgvector came later than 0056, so did 0041, and took its search_path back.
alter function vectors_missing(uuid, smallint) set search_path = public, pg_temp;
