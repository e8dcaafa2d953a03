-- What a person changes about a ticket; %(given)s names the columns. Called by desk.tickets.changing, which holds the row; index:
-- unique (organization_id, id). Triggers write events, clocks, labels, feedback and messages.
update tickets
   set status = case when 'status' = any(%(given)s::text[]) then %(status)s else status end,
       category = case when 'category' = any(%(given)s::text[]) then %(category)s else category end,
       category_by = case when 'category' = any(%(given)s::text[])
                          then case when %(category)s::text is not null then 'person' end
                          else category_by end,
       priority = case when 'priority' = any(%(given)s::text[]) then %(priority)s else priority end,
       priority_by = case when 'priority' = any(%(given)s::text[]) then 'person' else priority_by end,
       tags = case when 'tags' = any(%(given)s::text[]) then %(tags)s::text[] else tags end,
       tags_by = case when 'tags' = any(%(given)s::text[]) then 'person' else tags_by end,
       intent = case when 'intent' = any(%(given)s::text[]) then %(intent)s else intent end,
       intent_by = case when 'intent' = any(%(given)s::text[])
                        then case when %(intent)s::text is not null then 'person' end
                        else intent_by end,
       assignee = case when 'assignee' = any(%(given)s::text[]) then %(assignee)s else assignee end
 where organization_id = %(organization_id)s and id = %(ticket_id)s
