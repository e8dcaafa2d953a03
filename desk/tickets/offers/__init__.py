"""What an agent or a customer is offered: suggested articles, drafts that quote, an answer before a ticket is sent."""
