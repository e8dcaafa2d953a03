-- What others may do, in narrower bounds.
--
-- 1. What runs as atum_owner is for the desk's own role, and finds nobody else's tables.
-- 2. An organization is changed and deleted by who works for it alone.
-- 3. Names that an index holds fit into it.

-- 1
--
-- Every function is everybody's at first, and those that are "security definer" pass row-level security. Whoever could connect
-- to the database could call them, and hang those that are triggers on a temporary table of his own, with ids of his choosing.
-- Where search_path does not name pg_temp, it is searched first: a temporary table with a trigger stood in the place of one of
-- ours, and its trigger did as atum_owner what its maker liked. So do triggers of ours that a cascade fires, which acts as
-- the owner of the table.

do $$
declare
    ours record;
begin
    for ours in select p.oid::regprocedure as name, p.prosecdef, p.prorettype = 'trigger'::regtype as is_trigger
                  from pg_proc p
                 where p.pronamespace = 'public'::regnamespace and p.proowner = 'atum_owner'::regrole
                   and (p.prosecdef or p.prorettype = 'trigger'::regtype or p.proconfig @> '{search_path=public}') loop
        execute format('alter function %s set search_path = public, pg_temp', ours.name);
        if ours.prosecdef then
            execute format('revoke execute on function %s from public', ours.name);
            if not ours.is_trigger then  -- a trigger fires without
                execute format('grant execute on function %s to atum_worker', ours.name);
            end if;
        end if;
    end loop;
end $$;

-- 2
--
-- Names are for everybody to look up, and an import makes the organization that it names. With an organization go all of its
-- rows, so that a deletion that forgot to say whose took everybody's.
alter table organizations enable row level security;
alter table organizations force row level security;
create policy looked_up on organizations for select using (true);
create policy made on organizations for insert with check (true);
create policy one_organization on organizations using (id = current_organization());
create policy owner_functions on organizations to atum_owner using (true);
comment on table organizations is
    'The tenants. Every worker may look a name up and make one; each is changed and deleted by who works for it.';

-- 3
--
-- An entry of an index is 2,704 bytes at most. With an assignee of a thousand Chinese characters no notification could be written,
-- and so nobody's: a sweep is one transaction for many clocks of an organization. Who has such a name already is cut to it.
alter table tickets disable trigger user;
update tickets
   set assignee = left(assignee, 500), category = left(category, 500), intent = left(intent, 500)
 where octet_length(assignee) > 2000 or octet_length(category) > 2000 or octet_length(intent) > 2000;
alter table tickets enable trigger user;
alter table tickets
    add constraint tickets_names_fit
    check (octet_length(assignee) <= 2000 and octet_length(category) <= 2000 and octet_length(intent) <= 2000);
