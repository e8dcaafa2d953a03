-- Whether row-level security binds this login, and the worker's role, and whether every login may make functions where ours look
-- for theirs (the default before Postgres 15). Called by app.doctor; look-ups by name.
select session_user as login,
       (select rolsuper or rolbypassrls from pg_roles where rolname = session_user) as login_bypasses,
       (select rolsuper or rolbypassrls from pg_roles where rolname = 'atum_worker') as worker_bypasses,
       has_schema_privilege('public', 'public', 'create') as everybody_creates,
       current_setting('server_version') as version,
       exists (select from pg_extension where extname = 'vector') as has_vector
