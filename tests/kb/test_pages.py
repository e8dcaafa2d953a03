"""What a page shows is what its Markdown says, and what chunks keep together."""

from hypothesis import given, settings
from hypothesis import strategies as st

from desk.kb import markdown, pages


def shown(body: str) -> list[str]:
    """The pieces of every block, as a reader sees them."""
    return [
        piece
        for section in markdown.sections(body)
        for block in section.blocks
        for piece in ([block.head] if block.head else []) + list(block.pieces)
    ]


def test_tables_lists_and_code_of_a_page_stay_what_they_are():
    page = pages.of_html(
        b"<h1>Errors</h1><table><tr><th>Code</th><th>Meaning</th></tr><tr><td>E1</td><td>a | b<br>c</td></tr></table>"
        b"<table><tr><td>x</td><td>y</td></tr><tr><td>1</td><td>2</td></tr></table>"
        b"<h2>Steps</h2><ol><li>Open<ul><li>the <b>lid</b></li></ul></li><li>Close</li></ol>"
        b'<pre><code class="language-sh">ls  -l\n# a_b *c* &lt;d&gt;</code></pre>'
    )
    assert page.title == "Errors"
    (table, headless), (steps, code) = (section.blocks for section in markdown.sections(page.body_md))
    assert (table.head, table.pieces) == ("Code | Meaning", ("E1 | a | b c",))
    assert (headless.head, headless.pieces) == ("x | y", ("1 | 2",))
    assert steps.pieces == ("1. Open", "  - the lid", "2. Close")
    assert code.pieces == ("ls  -l", "# a_b *c* <d>")


def test_what_a_page_hides_is_no_text_and_what_it_folds_is():
    page = pages.of_html(
        b"<title>T</title><style>p{}</style><script>bad()</script><!-- hidden --><nav>Home</nav>"
        b"<p>Seen.</p><details><summary>More?</summary>Yes.</details>"
        b'<img alt="A picture" src="data:image/png;base64,AAAA"><noscript>Turn it on</noscript>'
    )
    assert page.title == "T"
    assert " ".join(" ".join(shown(page.body_md)).split()) == "Seen. More? Yes. A picture"
    assert "AAAA" not in page.body_md


WORDS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=60).map(str.strip)


@settings(max_examples=100, deadline=None)
@given(st.lists(WORDS.filter(bool), min_size=1, max_size=6))
def test_a_plain_text_says_what_it_said(lines):
    body = pages.of_text("Title\n\n" + "\n\n".join(lines)).body_md
    assert [text.split() for text in shown(body)] == [line.split() for line in lines]


def test_a_text_of_one_line_is_an_article_of_a_title_alone():
    assert pages.of_text(" Opening hours \n") == pages.Page("Opening hours", "")
