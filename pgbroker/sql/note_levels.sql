-- Note levels that a survey found, so that claims look for them. Called by Claims. levels: JSON array of [queue, priority].
insert into pgbroker.levels (queue_name, priority)
select l ->> 0, (l ->> 1)::integer from jsonb_array_elements(%(levels)s::jsonb) l order by 1, 2
on conflict do nothing
