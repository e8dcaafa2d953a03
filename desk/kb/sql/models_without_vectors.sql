-- The active model where there is no pgvector: it has made nothing. Called by desk.kb.builds; index: chunks_by_sha.
select name, dimensions, 'active',
       (select count(distinct chunk_sha) from chunks where organization_id = %(organization_id)s),
       0, 0, 0.0::float8, null::timestamptz, null::timestamptz, null, null::jsonb
  from models where id = chosen_model(%(organization_id)s)
