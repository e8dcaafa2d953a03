-- Look again in a while. Called by desk.notices.gathering. The key is that of sql/plan.sql: one message that waits is enough.
select pgbroker.enqueue('gather_mail', jsonb_build_array(%(organization_id)s::uuid, %(address)s::text, %(agent)s::text),
                        queue => 'notices', delay => make_interval(secs => %(seconds)s),
                        unique_key => format('gather_mail:%%s:%%s:%%s:', %(organization_id)s::uuid, %(address)s::text,
                                             %(agent)s::text),
                        tenant => %(organization_id)s::text);
