"""Tickets of an imaginary maker of home batteries, as many as wanted, no two alike: some hundred words each."""

import random
from collections.abc import Iterator

MATTERS = {
    "charging": (
        "The battery in the garage stopped charging in the middle of the afternoon although the sun was out.",
        "The app shows {number} percent and has not moved from there for {hours} hours.",
        "I switched the inverter off and on again as the leaflet says, and it charged for a minute and stopped.",
        "In the log of the app there is a message about the cell temperature, and then nothing more.",
        "The neighbours have the same system from the same fitter, and theirs charges as it should.",
    ),
    "delivery": (
        "The parcel with the meter clip was to come on the {number}th and has not arrived.",
        "Tracking has said for {hours} hours that it is in a depot which is at the other end of the country.",
        "The courier's hotline told me that they have no record of a second attempt at our address.",
        "The fitter is booked for the end of the week and cannot do anything without the clip.",
        "Could you send a second one by express, or tell me where I may fetch one myself?",
    ),
    "invoice": (
        "The invoice of last month lists {number} euros for Plus although I cancelled it in spring.",
        "I wrote to you about the same matter {hours} weeks ago and was told that it would be put right.",
        "My bank shows two payments on the same day with the same reference.",
        "Please send a corrected invoice, since my accountant needs it for the year's figures.",
        "If the amount cannot be paid back I would like to have it as a credit for the next year.",
    ),
    "account": (
        "I cannot sign in since the update: the app says that my password is wrong, and it is not.",
        "The mail for a new password comes after {hours} minutes, and the link in it has expired by then.",
        "My wife's telephone is still signed in and shows all {number} devices as it always did.",
        "We moved house, and the account still has the old address and the old network.",
        "Is there a way to give our tenant access without giving away the password?",
    ),
    "offline": (
        "The hub blinks red, and the system is shown as offline since {number} o'clock last night.",
        "The router is new, but it has the same name and the same password as the old one had.",
        "I moved the hub closer to it by {hours} metres, and the light turned green for a moment.",
        "The battery itself seems to work, since the lights stayed on during the power cut.",
        "Your page on error codes does not list the pattern that I see, which is two short and one long.",
    ),
}
OPENINGS = ("Hello,", "Good morning,", "Dear team,", "Hi,", "To whom it may concern,")
CLOSINGS = (
    "I would be glad of an answer by tomorrow.",
    "Thank you for looking into it.",
    "Please call me back in the evening if you need to know more.",
    "There is no hurry, but I would like to understand it.",
    "This is the third time that I write about it, and I am rather annoyed.",
)


def tickets(count: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """Category, subject and body of `count` tickets, the same for the same seed."""
    dice = random.Random(seed)
    names = list(MATTERS)
    for _ in range(count):
        category = dice.choice(names)
        said = dice.sample(MATTERS[category], dice.randint(2, 4))
        if dice.random() < 0.3:  # people write about two things at once
            said.append(dice.choice(MATTERS[dice.choice(names)]))
        sentences = [text.format(number=dice.randint(1, 99), hours=dice.randint(2, 60)) for text in said]
        body = " ".join(
            [dice.choice(OPENINGS), *sentences, dice.choice(CLOSINGS), f"My number is {dice.randrange(10**6)}."]
        )
        yield category, " ".join(sentences[0].split()[:8]), body
