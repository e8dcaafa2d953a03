"""Whose message it is: read from an argument, so that no sender has to say it twice."""

import inspect
from typing import Any

from dramatiq.middleware import Middleware


class Tenants(Middleware):
    """The tenant of a message is the argument named `argument` of its actor, where the actor has one.

    A sender that gives `tenant=` itself is not overruled. Adds the actor option `tenant_argument`, for actors that
    name it otherwise.
    """

    def __init__(self, argument: str) -> None:
        self._argument = argument
        self._positions: dict[str, tuple[str, int]] = {}

    @property
    def actor_options(self) -> set[str]:
        """The options this middleware adds to actors."""
        return {"tenant_argument"}

    def after_declare_actor(self, broker: Any, actor: Any) -> None:
        """Note where the tenant stands among an actor's arguments."""
        actor = broker.actors[actor] if isinstance(actor, str) else actor
        name = actor.options.get("tenant_argument", self._argument)
        parameters = list(inspect.signature(actor.fn).parameters)
        if name in parameters:
            self._positions[actor.actor_name] = (name, parameters.index(name))

    def before_enqueue(self, broker: Any, message: Any, delay: Any) -> None:
        """Name the tenant in the message's options."""
        name, position = self._positions.get(message.actor_name, ("", -1))
        if not name or message.options.get("tenant") is not None:
            return
        value = message.kwargs.get(name)
        if value is None and position < len(message.args):
            value = message.args[position]
        if value is not None:
            message.options["tenant"] = str(value)
