-- Mails and posts of one organization that ended more than its keep_finished_days ago, with the deliveries they told. Called by
-- desk.upkeep.retention; index: dispatches_ended. Their notifications stay: being delivered, they are not planned again.
delete from dispatches
 where id in (
       select o.id
         from dispatches o
        where o.organization_id = %(organization_id)s
          and o.ended_at < (select now() - make_interval(days => s.keep_finished_days) from organization_settings s
                             where s.organization_id = %(organization_id)s)
        order by o.ended_at
        limit %(batch)s)
