-- An organization's newest forecast. Called by desk.tickets.risk.forecast; index: primary key.
insert into breach_forecasts (organization_id, running, predicted, late, expected, low, high)
values (%(organization_id)s, %(running)s, %(predicted)s, %(late)s, %(expected)s, %(low)s, %(high)s)
on conflict (organization_id) do update
   set (running, predicted, late, expected, low, high, taken_at)
     = (excluded.running, excluded.predicted, excluded.late, excluded.expected, excluded.low, excluded.high, now())
