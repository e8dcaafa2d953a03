-- Note a priority that is not the actor's own, so that claims look for it. Called by Sender, once per level and process.
insert into pgbroker.levels (queue_name, priority) values (%(queue_name)s, %(priority)s) on conflict do nothing
