-- The hour's figures look for the clocks that were stopped in it: not through those of all organizations.
create index sla_clocks_stopped on sla_clocks (organization_id, stopped_at) where stopped_at is not null;
