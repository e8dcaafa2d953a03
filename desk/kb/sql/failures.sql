-- Articles that failed and were not indexed since, the dead ones first. Called by desk.kb.status.
select article.external_id, article.title, entry.state = 'dead', entry.attempts, entry.next_try_at, entry.last_error
  from article_index as entry
  join articles as article on article.organization_id = entry.organization_id and article.id = entry.article_id
 where entry.organization_id = %(organization_id)s
   and entry.state <> 'ok'
   and entry.last_error is not null
 order by entry.state, entry.next_try_at
 limit 50
