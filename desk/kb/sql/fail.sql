-- An article could not be indexed: a pause that grows, and after the last attempt no more. Nothing happens where its text
-- has changed meanwhile: the run takes it again then. Called by desk.kb.indexing; served by the primary key.
update article_index
   set attempts = attempts + 1,
       state = case when attempts + 1 >= %(most)s then 'dead' else 'pending' end,
       next_try_at = now() + %(first_pause)s * power(3, attempts) * (0.8 + 0.4 * random()),
       last_error = %(error)s,
       taken_by = null
 where organization_id = %(organization_id)s
   and article_id = %(article_id)s
   and taken_by = %(run)s
   and wanted_revision = %(revision)s
