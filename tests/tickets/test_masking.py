"""Personal data is masked, whatever stands around it; the rest stays word for word."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desk.tickets.offers import masking, quoting

WORDS = st.lists(st.sampled_from(["open", "the", "app", "tape", "hub", "please", "wait,", "then.", "(twice)", "it:"]))
DIGITS = st.text("0123456789", min_size=6, max_size=19)
EMAILS = st.builds(
    "{}@{}.{}".format,
    st.from_regex(r"[a-z][a-z0-9._+-]{0,12}[a-z0-9]", fullmatch=True),
    st.from_regex(r"[a-z][a-z0-9-]{0,10}[a-z0-9]", fullmatch=True),
    st.sampled_from(["com", "de", "co.uk", "org"]),
)
PHONES = st.builds(
    lambda country, parts, sign: f"+{country}{sign}" + sign.join(parts),
    st.sampled_from(["1", "44", "49", "351"]),
    st.lists(st.text("0123456789", min_size=3, max_size=4), min_size=2, max_size=3),
    st.sampled_from([" ", "-", "."]),
)
CARDS = st.lists(st.text("0123456789", min_size=4, max_size=4), min_size=4, max_size=4).map(" ".join)
IBANS = st.builds(
    lambda country, check, groups: f"{country}{check} {' '.join(groups)}",
    st.sampled_from(["DE", "GB", "FR", "NL"]),
    st.text("0123456789", min_size=2, max_size=2),
    st.lists(st.text("0123456789", min_size=4, max_size=4), min_size=3, max_size=5),
)
ORDERS = st.builds("{}-{}".format, st.sampled_from(["ORD", "INV", "A"]), st.text("0123456789", min_size=5, max_size=9))
LINKS = st.builds(
    "https://shop.example/{}?token={}".format,
    st.from_regex(r"[a-z]{1,8}", fullmatch=True),
    st.from_regex(r"[a-zA-Z0-9]{8,20}", fullmatch=True),
)
SECRETS = st.one_of(EMAILS, DIGITS, PHONES, CARDS, IBANS, ORDERS, LINKS)


@settings(max_examples=300, deadline=None)
@given(before=WORDS, secret=SECRETS, after=WORDS)
def test_what_identifies_somebody_is_masked_wherever_it_stands(before, secret, after):
    text = " ".join([*before, secret, *after])
    masked = masking.mask(text)
    assert secret not in masked
    assert masking.is_masked(masked)
    left = masked
    for mask in masking.MASKS:
        left = left.replace(mask, " ")
    assert "@" not in left
    assert sum(map(str.isdigit, left)) < 5, masked
    assert left.split() == (" ".join([*before, *after])).split()
    assert masking.mask(masked) == masked
    assert quoting.is_quoted(f"Say {masked}", f"Say {text}")


@settings(max_examples=200, deadline=None)
@given(words=WORDS)
def test_plain_words_stay_as_they_are(words):
    text = " ".join(words)
    assert masking.mask(text, ["Ida Holm <ida@example.com>"]) == text


@settings(max_examples=300, deadline=None)
@given(
    text=st.text(max_size=300) | st.text("aB @.:/?#=+-0123456789\n[]()<>", max_size=120),
    names=st.lists(st.text(max_size=20), max_size=3),
)
def test_any_text_can_be_masked_and_masking_it_twice_changes_nothing(text, names):
    masked = masking.mask(text, names)
    assert masking.mask(masked, names) == masked
    assert masking.email_of(masked) is None


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Ask Ida, or HOLM: ida will not mind.", "Ask [name], or [name]: ida will not mind."),
        ("Holm's box, Idaho", "[name]'s box, Idaho"),
        ("I wrote to i.holm@example.co.uk today", "I wrote to [e-mail] today"),
        ("Dear Mrs Petersen, hold the button", "Dear [name], hold the button"),
        ("Hi there, hold the button", "Hi there, hold the button"),
        ("Thank you for your patience", "Thank you for your patience"),
        ("Call +44 20 7946 0958 or 020 7946 0958", "Call [phone] or [number]"),
        ("Your order no. 48-213 was sent", "Your order no. [number] was sent"),
        ("Ticket #4821 is yours", "Ticket #[number] is yours"),
        ("IBAN DE89 3704 0044 0532 0130 00, please", "IBAN [number], please"),
        ("See https://help.example/reset for more", "See https://help.example/reset for more"),
        ("See https://help.example/r/9f8e7d6c5b4a39281706 now", "See [link] now"),
        ("See https://ida:pw@help.example/x now", "See [link] now"),
        ("We are at 12 Baker Street, come by", "We are at [address], come by"),
        ("Kommen Sie in die Lindenstraße 7", "Kommen Sie in die [address]"),
        ("Error E42 on firmware 2.14.1, wait 30 seconds", "Error E42 on firmware 2.14.1, wait 30 seconds"),
        ("Serial ML8-4471-0092 is registered", "Serial [number] is registered"),
        ("Your new password is Summer24!, change it", "Your new password is [number], change it"),
        ("Password: sunshine\nThen sign in", "Password: [number]\nThen sign in"),
        ("The PIN 4821 works", "The PIN [number] works"),
        ("The access code is `blue-Sky7`.", "The access code is `[number]`."),
        (
            "If the password is wrong, or the login to be changed, wait",
            "If the password is wrong, or the login to be changed, wait",
        ),
        ("To reset the password: open the app", "To reset the password: open the app"),
        ("", ""),
    ],
)
def test_examples(text, masked):
    assert masking.mask(text, ["Ida Holm <ida@example.com>"]) == masked


@pytest.mark.parametrize(
    ("before", "repeated", "after"),
    [
        ("", "a.", ""),
        ("", "a", " x@y.z"),
        ("", "A-", ""),
        ("", "a_-", "11111"),
        ("", "order-", ""),
        ("order", "-", ""),
        ("password:", " ", ""),
        ("password is ", "é", ""),
        ("", "12-", "a"),
        ("", "+1-", ""),
    ],
)
def test_four_times_the_text_takes_four_times_as_long_whatever_it_is(before, repeated, after):
    def cpu_seconds(length: int) -> float:
        text = before + (repeated * length)[: length - len(before) - len(after)] + after
        took = []
        for _ in range(3):
            began = time.thread_time()
            masking.mask(text)
            took.append(time.thread_time() - began)
        return min(took)

    short, long = cpu_seconds(masking.LONGEST // 4), cpu_seconds(masking.LONGEST)
    assert long < 9 * short, (short, long)  # the square is 16


@pytest.mark.parametrize(
    ("name", "text", "masked"),
    [
        ("王小明 <wang@example.com>", "王小明您好，请重启设备", "[name]您好，请重启设备"),
        ("김민수", "김민수님, 다시 시작하세요", "[name]님, 다시 시작하세요"),
        ("José Álvarez", "We called Jose\u0301, then A\u0301lvarez", "We called [name], then [name]"),
        ("Jose\u0301 Álvarez", "We called José, then Álvarez", "We called [name], then [name]"),
        ("Анна Петрова", "Здравствуйте, Анна, нажмите кнопку", "Здравствуйте, [name], нажмите кнопку"),
    ],
)
def test_names_are_masked_in_any_script_and_form(name, text, masked):
    assert masking.mask(text, [name]) == masked


def test_scripts_without_capitals_are_told_from_those_that_have_them():
    assert masking.has_capitals("Hold the button 10 seconds – Größe 2, n° 3.")
    assert masking.has_capitals("Нажмите кнопку")
    assert not masking.has_capitals("请重启设备")
    assert not masking.has_capitals("Restart, محمد")
    assert masking.has_capitals("")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Передайте это коду, что Мария поможет", ["Передайте", "Мария"]),
        ("Ask your contact: Sarah. The engineer – Łukasz – comes", ["Sarah", "The", "Łukasz"]),
        ("Sarah's box is here, as Ömer-Karl said: I hope it doesn't matter.", ["Sarah's", "Ömer", "Karl"]),
        ("Pull it, as Sarah did. Then hold it: I hope Ömer-Karl's box works.", ["Sarah", "Then", "Ömer", "Karl's"]),
        ("Pull the tape off. Maria will help.\n1. Turn it.\n2. Wait", ["Maria", "Wait"]),
        ("Ask your contact: Sarah the engineer", ["Sarah"]),
        ("1. Wait\n2. Don’t hold the USB port", ["Wait", "Don’t"]),
        ("Nobody Knows Nobody", ["Nobody", "Knows"]),
        ("all is well", []),
        ("", []),
    ],
)
def test_words_with_a_capital_are_found(text, words):
    assert masking.capitalized(text) == words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Ida Holm <i.holm@example.com>", ["Holm", "holm", "Ida"]),
        ("ida.holm", ["holm", "ida"]),
        ("anna@example.com", ["anna"]),
        ("", []),
        ("Support Team <support@example.com>", []),
    ],
)
def test_the_words_of_a_name(name, words):
    assert sorted(masking.name_words(name), key=str.lower) == sorted(words, key=str.lower)
