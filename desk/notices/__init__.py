"""How a notification leaves the house: mails and webhooks, and the inbox that agents read here.

`desk.sla.notifications` delivers a notification into the inbox, and in the same transaction its ways out are planned
(`plan`, from the tables that `document` fills): a row each in `notification_deliveries`. Mails of one recipient are
gathered into one (`gathering`, `wording`); what leaves at once, a mail or a post, is a row of `dispatches` (`outbox`),
and `mail` and `webhook` carry it.

Imports nothing: the settings read addresses from here.
"""
