"""Labelled tickets of an imaginary shop, as many as a test wants, no two with the same words."""

from itertools import product

OPENINGS = ("Hello,", "Good morning,", "Hi there,", "Dear team,", "Sorry to ask,", "Quick question:")
MATTERS = {
    "delivery": ("my parcel has not arrived", "the courier lost the package", "where is my shipment",
                 "the delivery is late again", "tracking shows no movement"),
    "refund": ("I want my money back", "please refund my order", "when is the payment returned",
               "you charged me twice", "the credit has not come"),
    "login": ("I cannot sign in", "my password is refused", "the account is locked",
              "the reset mail never comes", "two-factor codes do not work"),
    "battery": ("the battery does not charge", "it stays at ten percent", "the pack gets warm",
                "charging stops after a minute", "the battery light blinks"),
}  # fmt: skip
ENDINGS = ("since Monday", "for a week", "after the update", "at home", "in the office", "again", "as before",
           "today it", "with no reason", "for my mother")  # fmt: skip


def subjects(category: str, count: int, after: int = 0) -> list[str]:
    """`count` subjects about a category's matter, from the one at `after` on."""
    found = [
        f"{opening} {matter} {ending}" for ending, opening, matter in product(ENDINGS, OPENINGS, MATTERS[category])
    ]
    return found[after : after + count]
