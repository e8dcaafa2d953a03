"""Whether a text is English: the word lists of the ticket jobs know no other language.

Counts the small words that every sentence needs, of English and of others. A text with hardly any stays undecided.
"""

import re

from desk.tickets.rulebook import words

LEAST_SHARE = 0.08  # of small words in an English text
TELLING = 6  # words from which a text without any small word is no English

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_LAST_LATIN_LETTER = 0x24F


def is_english(text: str) -> bool | None:
    """True or False; None where the text is too short to tell."""
    letters = "".join(filter(str.isalpha, text))
    if not letters:
        return None
    if not letters.isascii() and sum(letter <= _LAST_LATIN_LETTER for letter in map(ord, letters)) / len(letters) < 0.8:
        return False
    found = [word.lower().replace("’", "'") for word in _WORD.findall(text)]
    english = sum(map(words("small_words", "english").__contains__, found))
    other = sum(map(words("small_words", "other").__contains__, found))
    if other > english:
        return False
    if english == 0:
        return None if len(found) < TELLING else False
    return english / len(found) >= LEAST_SHARE
