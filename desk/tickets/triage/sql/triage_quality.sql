-- What people made of triage's answers, by question and confidence. Called by desk.tickets.triage.quality; index:
-- triage_feedback_by_age.
with bands (least, below) as (
    values (0.0, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 0.9), (0.9, 1.01)
)
select f.what, b.least::double precision, b.below::double precision, count(*)::integer as tickets,
       (count(*) filter (where f.proposed is not null))::integer as answers,
       (count(*) filter (where f.verdict = 'accepted'))::integer as accepted,
       avg(f.confidence) filter (where f.proposed is not null) as confidence
  from triage_feedback f
  left join bands b on f.proposed is not null and f.confidence >= b.least and f.confidence < b.below
 where f.organization_id = %(organization_id)s and f.at > now() - %(days)s * interval '1 day'
 group by f.what, b.least, b.below
 order by f.what, b.least nulls last
