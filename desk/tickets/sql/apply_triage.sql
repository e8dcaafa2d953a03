-- Set what triage found. The priority only where a confidence stands behind it that the organization accepts and nobody has
-- touched it; tags are added where no person chose them, and never taken away. Called by desk.tickets.results.keep_triage; index: unique (organization_id, id).
update tickets t
   set category = %(category)s,
       category_by = 'triage',
       (tags, tags_by) =
           (select case when t.tags_by = 'person' or added = '{}' then t.tags else t.tags || added end,
                   case when t.tags_by = 'person' or added = '{}' then t.tags_by else 'triage' end
              from (select array(select tag from unnest(%(tags)s::text[]) tag where tag <> all (t.tags)) as added) a),
       (priority, priority_by) =
           (select case when accepted then %(priority)s else t.priority end,
                   case when accepted then 'triage' else t.priority_by end
              from (select coalesce(%(priority)s::text is not null
                                    and %(priority_confidence)s::double precision >= s.triage_applies_above
                                    and t.priority_by is distinct from 'person'
                                    and not exists (select from ticket_events e
                                                     where e.organization_id = t.organization_id and e.ticket_id = t.id
                                                       and e.kind = 'priority'), false) as accepted) a)
  from organization_settings s
 where t.organization_id = %(organization_id)s and t.id = %(ticket_id)s and t.category_by is distinct from 'person'
   and s.organization_id = t.organization_id
