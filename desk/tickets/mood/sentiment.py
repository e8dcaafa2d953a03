"""The mood of the customer's own words, and how urgent they are, with reasons. English only: `unknown` for all else.

VADER's lexicon (2020, pinned) was made for social media: words that name the matter of a support ticket ("error",
"charge") are taken out of it, some others put in (`words/sentiment.tsv`). Quotes, logs and signatures do not count.
Where there is an embedding model, likeness to sentences of known mood (`leaning`) counts as much as the words; anger,
from which tickets may be escalated, is what the words alone say.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from desk.tickets import urgency
from desk.tickets.english import is_english
from desk.tickets.mood import leaning
from desk.tickets.own_words import own_words, sentences
from desk.tickets.rulebook import valences
from desk.tickets.vectors import Vectors

NEUTRAL_BAND = 0.05  # of the lexicon's scores, 0 for most sentences
NEUTRAL_BAND_WITH_LEANING = 0.2  # a leaning is never quite 0; as many plain questions are called neutral as without
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


def read(text: str, language: str | None = None, vector_of: Callable[[str], Vectors | None] | None = None) -> Sentiment:
    """The sentiment of `text`; `language` is what the ticket says of itself, if it does.

    `vector_of` gives the vector of the customer's own words, or None where there is no model.
    """
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
    anger, band, vector = max(0.0, -felt), NEUTRAL_BAND, vector_of(words) if vector_of else None
    if vector is not None:
        lean = float(leaning.scores(vector[None, :])[0])
        felt, band = together(felt, lean), NEUTRAL_BAND_WITH_LEANING
    label = "neutral" if abs(felt) < band else "positive" if felt > 0 else "negative"
    telling = sorted(zip(scores, parts, strict=True), key=lambda pair: -abs(pair[0]))[:SHOWN]
    reasons: list[dict[str, str | float]] = [
        {"kind": "sentence", "words": part[:200], "score": value} for value, part in telling if value
    ]
    if vector is not None:
        reasons.append({"kind": "leaning", "words": f"like: {leaning.likest(vector)}", "score": round(lean, 4)})
    reasons += [{"kind": "urgency", "rule": reason.rule, "words": reason.words} for reason in found]
    return Sentiment(label, round(felt, 4), round(anger, 4), urgency.level(found), reasons)


def together(words: float, lean: float) -> float:
    """The mood, from -1 to 1, of what the words say and which way the whole leans."""
    return (words + lean) / 2


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
