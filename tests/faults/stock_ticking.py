"""periodiq as it comes, with a broker in memory; imported by `periodiq stock_ticking`."""

import dramatiq
from dramatiq.brokers.stub import StubBroker
from periodiq import PeriodiqMiddleware, cron

broker = StubBroker(middleware=[PeriodiqMiddleware()])
dramatiq.set_broker(broker)


@dramatiq.actor(periodic=cron("* * * * *"))
def tick():
    pass
