"""Nothing is dropped, nothing is cut silently, and what belongs together stays together."""

import re

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from desk.kb import chunking, embedding
from desk.kb.chunking import Chunk


@pytest.fixture(autouse=True, scope="module")
def _model(model_dir):
    return model_dir


def split(body: str, title: str = "Title") -> list[Chunk]:
    chunks = chunking.split(title, body, embedding.token_counts)
    assert max(embedding.token_counts([chunk.embedded for chunk in chunks])) <= chunking.LIMIT
    assert [chunk.tokens for chunk in chunks] == embedding.token_counts([chunk.embedded for chunk in chunks])
    return chunks


# Pages of every kind of block, in which each word occurs once: w1, w2, …


KINDS = ["heading", "paragraph", "list", "nested", "code", "table", "quote", "html"]


@st.composite
def pages(draw: st.DrawFn) -> tuple[str, list[str]]:
    words: list[str] = []

    def some(most: int) -> list[str]:
        fresh = [f"w{len(words) + number}" for number in range(1, draw(st.integers(1, most)) + 1)]
        words.extend(fresh)
        return fresh

    def sentence(most: int = 60) -> str:
        return " ".join(some(most)) + draw(st.sampled_from([".", "!", "", "。"]))

    blocks = []
    for kind in draw(st.lists(st.sampled_from(KINDS), max_size=9)):
        match kind:
            case "heading":
                blocks.append("#" * draw(st.integers(1, 6)) + " " + " ".join(some(8)))
            case "paragraph":
                blocks.append(" ".join(sentence() for _ in range(draw(st.integers(1, 9)))))
            case "list":
                blocks.append("\n".join(f"- {sentence(20)}" for _ in range(draw(st.integers(1, 12)))))
            case "nested":
                blocks.append(
                    f"1. {sentence(9)}\n\n   {sentence(9)}\n\n   - **{sentence(9)}**\n   - [{sentence(9)}](/x)"
                )
            case "code":
                lines = "\n".join(f"  {' '.join(some(9))}" for _ in range(draw(st.integers(1, 30))))
                blocks.append(f"```sh\n{lines}\n```")
            case "table":
                row = "| {} | {} |"
                lines = [row.format(*("".join(some(1)), "".join(some(1)))), "|---|---|"]
                lines += [row.format("".join(some(1)), sentence(9)) for _ in range(draw(st.integers(0, 40)))]
                blocks.append("\n".join(lines))
            case "quote":
                blocks.append(f"> {sentence()}\n> {sentence()}")
            case "html":
                blocks.append(f'<Note title="{" ".join(some(3))}">\n{sentence()}\n</Note>')
    return "\n\n".join(blocks), words


@settings(max_examples=120, deadline=None)
@given(pages())
def test_every_word_is_in_a_chunk_and_in_order_and_no_chunk_is_longer_than_the_limit(page):
    body, words = page
    note(body)
    chunks = split(body)
    kept: list[str] = []
    for chunk in chunks:
        for word in re.findall(r"\bw\d+\b", "\n".join([*chunk.heading_path, chunk.text])):
            if word not in kept:  # headings stand above each of their chunks, a table's head above each of its parts
                kept.append(word)
    assert kept == words


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=3000))
def test_any_text_makes_chunks_within_the_limit(body):
    assert split(body)


HARD = {
    "a word of 20,000 letters": ("x" * 20_000, 20_000),
    "emoji without a space": ("😀" * 5_000, 5_000),
    "Hangul without a space": ("한" * 3_000, 3_000),
    "Chinese without a space": ("中" * 3_000, 3_000),
    "right to left": ("שלום " * 2_000, 2_000),
    "one line of code": ("```\n" + "y();" * 3_000 + "\n```", 3_000),
    "brackets that open only": ("[z" * 2_000, 2_000),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_text_is_split_and_kept(name):
    body, count = HARD[name]
    letter = next(character for character in body if character not in "`\n[")
    assert "".join(chunk.text for chunk in split(body)).count(letter) == count


def test_text_that_nests_deeper_than_the_parser_follows_is_kept():
    quotes = ">" * 500 + " at the bottom"
    lists = "".join("  " * depth + f"- item{depth}\n" for depth in range(200))
    assert "at the bottom" in split(quotes)[-1].text
    assert {f"item{depth}" for depth in range(200)} <= set(
        re.findall(r"item\d+", "\n".join(c.text for c in split(lists)))
    )


def test_an_article_of_a_title_alone_is_one_chunk():
    assert [(chunk.text, chunk.embedded) for chunk in split("", "How to pay")] == [("", "How to pay")]


def test_title_and_headings_stand_above_the_text_and_are_not_repeated():
    chunks = split("# Pay\n\nIntro.\n\n## By card\n\n### Abroad\n\nIt costs more.\n\n## By bank", "Pay")
    assert [chunk.embedded for chunk in chunks] == [
        "Pay\nIntro.",
        "Pay\nBy card > Abroad\nIt costs more.",
        "Pay\nBy bank",
    ]


def test_a_title_and_headings_of_any_length_leave_room_for_the_text():
    body = "\n\n".join(f"{'#' * level} {'heading ' * 30}" for level in (1, 2, 3, 4)) + "\n\n" + "text " * 500
    assert sum(chunk.text.count("text") for chunk in split(body, "title " * 80)) == 500


def test_a_table_and_code_that_fit_are_not_split_and_a_long_table_repeats_its_head():
    filler = "Many words stand here. " * 35
    table = "| Error | Meaning |\n|---|---|\n" + "\n".join(f"| E{n} | trouble number {n} |" for n in range(12))
    code = "```sh\n" + "\n".join(f"step --number {n}" for n in range(20)) + "\n```"
    texts = [chunk.text for chunk in split(f"{filler}\n\n{table}\n\n{filler}\n\n{code}")]
    assert sum("E0 |" in text and "E11 |" in text for text in texts) == 1
    assert sum("--number 0" in text and "--number 19" in text for text in texts) == 1
    long = "| Error | Meaning |\n|---|---|\n" + "\n".join(f"| E{n} | trouble number {n} |" for n in range(100))
    parts = split(long)
    assert len(parts) > 2
    assert all(part.text.startswith("Error | Meaning\n") for part in parts)


def test_what_a_page_shows_of_html_is_kept_and_what_it_hides_is_not():
    (chunk,) = split(
        '<!-- secret --><Card title="Shown" href="/hidden">inside</Card> <img alt="A picture" src="x.png">'
    )
    assert chunk.text.split() == ["Shown", "inside", "A", "picture"]


def test_links_to_elsewhere_are_navigation_and_a_list_of_steps_is_not():
    chunks = split("## Related\n\n* [One](/1)\n* [Two](/2)\n\n## Steps\n\n* Open [One](/1)\n* Press it")
    assert [chunk.navigation for chunk in chunks] == [True, False]


def test_the_same_input_has_the_same_hash_and_another_title_another():
    one, same, other = (split("Text.", title)[0].sha for title in ("A", "A", "B"))
    assert one == same != other
