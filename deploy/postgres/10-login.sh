#!/bin/sh
# Run once by the Postgres image, in an empty database: the login of everything but `atum init`. It is a member of
# atum_worker and of nothing else, so row-level security binds it.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$ATUM_APP_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
create role atum_worker nologin;
create role atum_app login password :'password' in role atum_worker;
SQL
