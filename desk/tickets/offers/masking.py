"""Personal data out of a text: what one customer was told must not tell another who that was.

Pure. Each find gives way to a mask in brackets (`MASKS`); the rest stays word for word. Rather too much is masked than
too little: a date or a serial number goes as well. Names are those that the caller knows, and those after a greeting or
a title; a name in mid-sentence that nobody told of is not found.

Time grows as the text does, whatever stands in it: what may begin anywhere has a longest length, what goes on takes all
it can (`++`) or is taken as a whole (`_EMAIL`).
"""

import re
import unicodedata
from collections.abc import Callable, Iterable

import phonenumbers

MASKS = ("[e-mail]", "[phone]", "[number]", "[name]", "[link]", "[address]")
LONGEST = 20_000  # characters; nothing longer is quoted

_MASK = re.compile("|".join(re.escape(mask) for mask in MASKS))
# All that could stand before an @, whether one follows (group 1) or not: nothing of it is looked at again.
_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]++(?:(@)[\w-]+(?:\.[\w-]+)*)?")
_URL = re.compile(r"\b(?:[a-z][a-z0-9+.-]{0,60}://|www\.)[^\s<>\"'()\[\]]+", re.IGNORECASE)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?\b")
_REFERENCE = re.compile(
    r"\b(order|ticket|invoice|ref(?:erence)?|case|account|customer|booking|tracking|contract|serial|policy|claim"
    r"|card|iban|parcel|shipment|transaction|receipt)"
    r"(\s+(?:no|nr|number|id|code)\b)?([\s.:#-]{1,60})((?=[\w/-]{0,60}\d)[\w/-]{3,})",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"\b((?:pass(?:word|code|phrase|wort)|kennwort|pin|otp|token|secret|login|user[ -]?(?:name|id)|api[ -]?key"
    r"|(?:access|security|licen[cs]e)[ -](?:key|code))[ \t]*(?:\b(?:is|was|to|ist)\b|[:=])[ \t]*+(?::[ \t]*+)?)(\S+)",
    re.IGNORECASE,
)
_PIN = re.compile(r"\b((?:pin|otp|passcode)[ \t]+)\d{4,}\b", re.IGNORECASE)
# In a word: a letter and a digit, wherever; or one of the rest.
_LIKE_A_SECRET = re.compile(r"\A(?=\D*\d)(?=[\W\d]*[^\W\d])|\d{4}|[!#$%&*+=@^~|<>]\w|[a-z][A-Z]")
_PUNCTUATION = "\"'“”‘’`.,;:?()"
_NUMBER = re.compile(r"#\s?\w*\d[\w/-]*|(?<![\w.])[+(]?\d(?:[ ./()\u00a0\u2010-\u2015-]{0,2}\d){5,}(?!\w)")
_CODE = re.compile(r"\+?\b(?=(?:[A-Za-z_/-]{0,60}\d){5})[A-Za-z0-9]+(?:[-_/][A-Za-z0-9]+)*\b")
_STREET = re.compile(
    r"\b\d{1,5}[a-z]?,?\s+(?:[A-Z][\w'’-]+\s+){1,3}(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Close|Court|Ct|Way|Place|Pl"
    r"|Square|Sq|Boulevard|Blvd|Terrace|Crescent)\b\.?"
    r"|\b[A-ZÄÖÜ][\w-]{0,60}(?:straße|strasse|str\.|weg|gasse|allee|platz)\s+\d{1,4}[a-z]?\b"
    r"|\b(?:rue|avenue|calle|via|plaza)\s+(?:[\w'’-]+\s+){1,4}\d{1,5}\b",
)
_POSTCODE = re.compile(r"\b[A-Z]{1,2}\d[A-Z\d]?\s+\d[A-Z]{2}\b")
_GREETED = re.compile(
    r"\b(Hi|Hello|Hey|Dear|Good morning|Good afternoon|Good evening|Thanks|Thank you|Mr|Mrs|Ms|Miss|Dr|Herr|Frau"
    r"|Hallo|Liebe|Lieber|Regards|Sincerely|Cheers|My name is|This is|I am|I'm)\b([.,]?[ \t]+)"
    r"((?!I\b)[^\W\d_a-z][\w'’-]+(?:[ \t]+[^\W\d_a-z][\w'’-]+){0,2})"
)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
# "Pull the tape": what begins a sentence and is followed by such a word is nobody's name.
_COMMAND = re.compile(
    r"(?:\A|[.!?…\n])[\s\"'“‘«„(*•\d.)-]*+[^\W\d_]+"
    r"(?=[ \t]+(?:the|an?|this|that|these|those|its?|them|your|all|both|each|any)\b)"
)
_WITHOUT_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")  # Chinese, Japanese; Korean joins particles
_NAME_WORD = re.compile(r"[^\W\d_][^\W_]*(?:['’-][^\W\d_]+)*")
# What follows a greeting with a capital, or stands in a sender's name, and is nobody's name.
_NO_NAMES = frozenset((
    "a", "able", "afraid", "again", "all", "an", "and", "customer", "desk", "everybody", "everyone", "for", "glad",
    "happy", "help", "if", "in", "info", "it", "madam", "no", "not", "on", "our", "please", "service", "sir", "so",
    "sorry", "support", "sure", "team", "that", "the", "there", "this", "to", "unable", "we", "yes", "you", "your",
))  # fmt: skip


def mask(text: str, names: Iterable[str] = ()) -> str:
    """`text` without e-mail addresses, phone numbers, numbers of six digits and more, references, what is given as a
    password, links that carry a token, postal addresses and names.

    `names` are people's, as a ticket has them: `Ida Holm <ida@example.com>`, `ida.holm`. Masking what is masked changes
    nothing.
    """
    text = text[:LONGEST]
    patterns = _of_names(names)
    while (masked := _once(text, patterns)) != text:  # what stood beside a find may be one by itself
        text = masked
    return text


def _once(text: str, names: Iterable[re.Pattern[str]]) -> str:
    text = _outside(_URL, text, _link)
    if "@" in text:
        text = _outside(_EMAIL, text, lambda found: "[e-mail]" if found[1] else found[0])
    for pattern in names:
        text = _outside(pattern, text, lambda found: "[name]")
    text = _outside(_GREETED, text, _greeted)
    text = _outside(_SECRET, text, _secret)
    text = _outside(_PIN, text, lambda found: f"{found[1]}[number]")
    text = _outside(_STREET, text, lambda found: "[address]")
    text = _outside(_POSTCODE, text, lambda found: "[address]")
    text = _outside(_IBAN, text, lambda found: "[number]" if _digits(found[0]) >= 6 else found[0])
    text = _phones(text)
    text = _outside(_REFERENCE, text, lambda found: f"{found[1]}{found[2] or ''}{found[3]}[number]")
    text = _outside(_CODE, text, lambda found: "[number]")
    return _outside(_NUMBER, text, lambda found: "[number]")


def is_masked(text: str) -> bool:
    """Whether a mask stands in `text`."""
    return bool(_MASK.search(text))


def unmasked(text: str) -> str:
    """What of `text` stands between its masks."""
    return _MASK.sub("", text)


def email_of(name: str) -> str | None:
    """The e-mail address in a person's name, in small letters; None where there is none."""
    return next((found[0].lower() for found in _EMAIL.finditer(name) if found[1]), None)


def capitalized(text: str) -> list[str]:
    """Words with a capital and small letters, in any script, each once: names of people are among them. What begins a
    sentence is left out only where it is seen to be no name."""
    words = dict.fromkeys(_WORD.findall(_COMMAND.sub(lambda found: found[0].lower(), text)))
    return [word for word in words if word[0] != word[0].lower() and any(map(str.islower, word))]


def has_capitals(text: str) -> bool:
    """Whether `text` is in scripts that write names with a capital, all of it; in others nobody can tell them."""
    return all(letter.lower() != letter.upper() for letter in text if letter.isalpha() and letter not in "ªº")


def name_words(name: str) -> list[str]:
    """The words of a person's name, longest first: of "Ida Holm <i.holm@example.com>" Holm, Ida, holm."""
    shown, _, address = name.partition("<")
    if "@" in shown:
        shown, address = "", shown
    local = address.partition("@")[0]
    words = {word for word in _NAME_WORD.findall(f"{shown} {re.sub(r'[._+-]', ' ', local)}") if len(word) > 1}
    return sorted((word for word in words if word.lower() not in _NO_NAMES), key=lambda word: (-len(word), word))


def _of_names(names: Iterable[str]) -> list[re.Pattern[str]]:
    """As whole words, with a capital: "will" is a verb, "Will" may be a customer. Where words have no spaces between
    them, wherever they stand."""
    found: dict[str, None] = {}
    for name in names:
        for word in name_words(unicodedata.normalize("NFC", name)):
            forms = (word.capitalize(), word.upper(), word if word[0].isupper() else word.title())
            found.update(dict.fromkeys(unicodedata.normalize(form, each) for each in forms for form in ("NFC", "NFD")))
    ordered = sorted(found, key=lambda word: (-len(word), word))
    joined = [word for word in ordered if _WITHOUT_SPACES.search(word)]
    whole = [word for word in ordered if word not in joined]
    patterns = [re.compile("|".join(map(re.escape, joined)))] if joined else []
    if whole:
        patterns.append(re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, whole)) + r")(?!\w)"))
    return patterns


def _outside(pattern: re.Pattern[str], text: str, replace: Callable[[re.Match[str]], str]) -> str:
    """`pattern` replaced wherever it does not touch a mask that stands there already."""
    parts = []
    at = 0
    for masked in _MASK.finditer(text):
        parts += [pattern.sub(replace, text[at : masked.start()]), masked[0]]
        at = masked.end()
    return "".join([*parts, pattern.sub(replace, text[at:])])


def _phones(text: str) -> str:
    """International numbers as the libraries of phones know them; what is left of digits falls to `_NUMBER`."""
    for found in reversed(list(phonenumbers.PhoneNumberMatcher(text, None, leniency=phonenumbers.Leniency.POSSIBLE))):
        text = f"{text[: found.start]}[phone]{text[found.end :]}"
    return text


def _link(found: re.Match[str]) -> str:
    """An address of a page is no personal data; one with a question, a user or a long random part may be a key."""
    url = found[0]
    rest = url.split("://", 1)[-1]
    host, _, path = rest.partition("/")
    secret = "@" in host or any(sign in rest for sign in "?#=;%")
    long_part = any(len(part) >= 16 and _digits(part) >= 2 for part in re.split(r"[/.,_-]", path))
    return "[link]" if secret or long_part or _digits(path) >= 4 else url


def _secret(found: re.Match[str]) -> str:
    """What is wrong is no password; what ends the line after "password:" is one, whatever it looks like."""
    start, given = found[1], found[2]
    secret = given.strip(_PUNCTUATION)
    ends_line = not found.string[found.end() :].split("\n", 1)[0].strip()
    if not secret or not (_LIKE_A_SECRET.search(secret) or (start.rstrip()[-1] in ":=" and ends_line)):
        return found[0]
    before, _, after = given.partition(secret)
    return f"{start}{before}[number]{after}"


def _greeted(found: re.Match[str]) -> str:
    if found[3].split()[0].lower() in _NO_NAMES:
        return found[0]
    return f"{found[1]}{found[2]}[name]"


def _digits(text: str) -> int:
    return sum(map(str.isdigit, text))
