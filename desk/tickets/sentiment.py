"""The mood of the customer's own words, and how urgent they are, with reasons. English only: `unknown` for all else.

VADER's lexicon (2020, pinned) was made for social media: words that name the matter of a support ticket ("error",
"charge") are taken out of it, some others put in (`words/sentiment.tsv`). Quotes, logs and signatures do not count.
"""

from dataclasses import dataclass
from functools import cache

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from desk.tickets import urgency
from desk.tickets.english import is_english
from desk.tickets.own_words import own_words, sentences
from desk.tickets.rulebook import valences

NEUTRAL_BAND = 0.05
MOST_SENTENCES = 200
SHOWN = 3  # sentences given as reasons


@dataclass(frozen=True)
class Sentiment:
    """`label` and `urgency` are "unknown" together; `score` runs from -1 to 1, `anger` from 0 to 1."""

    label: str
    score: float | None
    anger: float
    urgency: str
    reasons: list[dict[str, str | float]]


def read(text: str, language: str | None = None) -> Sentiment:
    """The sentiment of `text`; `language` is what the ticket says of itself, if it does."""
    words = own_words(text)
    if not words:
        return _unknown("nothing but quotes, logs or a signature" if text.strip() else "no words")
    if language and not language.lower().startswith("en"):
        return _unknown(f"the ticket's language is {language}")
    english = is_english(words)
    if english is False:
        return _unknown("not English")
    parts = sentences(words)[:MOST_SENTENCES]
    scores = [score(part) for part in parts]
    if english is None and not any(scores):
        return _unknown("too short to tell the language")
    mean = sum(scores) / len(scores)
    felt = (mean + min(scores, key=lambda value: (-abs(value), value))) / 2
    found = urgency.reasons(words)
    label = "neutral" if abs(felt) < NEUTRAL_BAND else "positive" if felt > 0 else "negative"
    telling = sorted(zip(scores, parts, strict=True), key=lambda pair: -abs(pair[0]))[:SHOWN]
    reasons: list[dict[str, str | float]] = [
        {"kind": "sentence", "words": part[:200], "score": value} for value, part in telling if value
    ]
    reasons += [{"kind": "urgency", "rule": reason.rule, "words": reason.words} for reason in found]
    return Sentiment(label, round(felt, 4), round(max(0.0, -felt), 4), urgency.level(found), reasons)


def score(sentence: str) -> float:
    """The mood of one sentence, from -1 to 1; 0 where no word of it has one."""
    return float(_analyzer().polarity_scores(sentence)["compound"])


def _unknown(reason: str) -> Sentiment:
    return Sentiment("unknown", None, 0.0, "unknown", [{"kind": "unknown", "words": reason}])


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    analyzer = SentimentIntensityAnalyzer()
    for word, valence in valences("sentiment").items():
        if valence:
            analyzer.lexicon[word] = valence
        else:
            analyzer.lexicon.pop(word, None)
    return analyzer
