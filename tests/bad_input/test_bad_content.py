"""Content that would end the message early, break its lines, or cost too much to build."""

from __future__ import annotations

import base64
import time

import pytest
from bad_bench import CPU_SECONDS, Bench, attached, read

BLOCK = 64 * 1024  # what a sender may cut a body into

SMUGGLING = [
    *("\r\n.\r\n", "\n.\n", "\r.\r", "\n.\r\n", "\r\n.\r", "\r.\r\n", "\n.\r", "\r.\n", ".", ".."),
    *("\r\n..\r\n", "\r\n.x\r\n", "\0.\r\n", "\r\n\0.\r\n", "\r\n.\0\r\n"),
]
SECOND_MESSAGE = "MAIL FROM:<evil@x.example>\r\nRCPT TO:<victim@x.example>\r\nDATA\r\nx\r\n.\r\n"


def unified(text: str) -> str:
    """Line ends as a reader shows them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.bad_input("smuggling")
@pytest.mark.parametrize("end", [end for end in SMUGGLING if "\0" not in end], ids=ascii)
@pytest.mark.parametrize("field", ["body", "html", "attachment", "calendar"])
async def test_a_dot_ends_no_message_but_its_own(bench: Bench, end: str, field: str) -> None:
    text = f"before{end}{SECOND_MESSAGE}after"
    if field == "attachment":
        content = text.encode()
        inline = "base64:" + base64.b64encode(content).decode()
        (copy,) = await bench.taken(**attached(storage_path=inline))
        (part,) = read(copy).iter_attachments()
        assert part.get_payload(decode=True) == content
    elif field == "calendar":
        (copy,) = await bench.taken(calendar=f"BEGIN:VCALENDAR\r\n{text}", body="x")
    else:
        kind = "html" if field == "html" else "plain"
        (copy,) = await bench.taken(body=text, content_type=kind)
        assert unified(read(copy).get_content()) == unified(text) + "\n"
    assert copy.sender == "orders@shop.example"


@pytest.mark.bad_input("smuggling")
async def test_a_dot_at_each_edge_of_a_block_arrives_as_it_was(bench: Bench) -> None:
    lines = [b"x" * 76] * (BLOCK // 78)
    head = b"From: a@shop.example\r\nTo: b@customer.example\r\nSubject: s\r\n\r\n"
    for shift in range(-4, 4):
        body = b"\r\n".join(lines)
        filling = b"y" * (BLOCK - len(head) - len(body) - 2 + shift)
        own = head + body + b"\r\n" + filling + b"\r\n.\r\n..\r\n.z\r\n"
        raw = base64.b64encode(own).decode()
        (copy,) = await bench.taken(raw=raw, body=None, subject=None)
        assert copy.data.endswith(b"\r\n" + filling + b"\r\n.\r\n..\r\n.z\r\n")


@pytest.mark.bad_input("bare CR and LF")
async def test_a_finished_message_with_a_bare_line_end_is_refused_or_repaired(bench: Bench) -> None:
    head = "From: a@shop.example\r\nTo: b@customer.example\r\nSubject: s\r\n\r\n"
    for end in SMUGGLING:
        raw = base64.b64encode(f"{head}before{end}{SECOND_MESSAGE}".encode()).decode()
        reply = await bench.post(
            "/commands/add-messages",
            {"messages": [bench.message(raw=raw, body=None, subject=None)]},
        )
        taken = reply.json()["queued"]
        copies = await bench.delivered()
        assert len(copies) == taken
        for copy in copies:
            rest = copy.data.replace(b"\r\n", b"")
            assert b"\r" not in rest
            assert b"\n" not in rest
            assert b"\0" not in rest


@pytest.mark.bad_input("text that is none")
async def test_nul_and_lone_surrogates_are_refused(bench: Bench) -> None:
    bad = [
        {name: text} for name in ("body", "subject") for text in ("\0", "a\0b", "\ud800", "\udc00x")
    ]
    bad += [{"calendar": f"BEGIN:VCALENDAR\r\n{text}"} for text in ("\0", "\ud800")]
    bad += [{"body": None, "text": text, "html": "x"} for text in ("\0", "\ud800")]
    bad += [{"body": None, "html": text} for text in ("\0", "\ud800")]
    await bench.reasons(*(bench.message(**fields) for fields in bad))


@pytest.mark.bad_input("text that is none")
@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"\xef\xbb\xbfx", b"a\0b", "ü".encode("latin-1")]
)
async def test_an_attachment_is_bytes_and_any_will_do(bench: Bench, content: bytes) -> None:
    inline = "base64:" + base64.b64encode(content).decode()
    (copy,) = await bench.taken(**attached(storage_path=inline, mime_type="text/plain"))
    (part,) = read(copy).iter_attachments()
    assert part.get_payload(decode=True) == content


@pytest.mark.bad_input("text that is none")
async def test_a_byte_order_mark_is_text(bench: Bench) -> None:
    (copy,) = await bench.taken(body="\ufeffx\n")
    assert unified(read(copy).get_content()) == "\ufeffx\n"


@pytest.mark.bad_input("long lines")
@pytest.mark.parametrize("length", [997, 998, 999, 1000, 1001, 10_000, 500_000])
@pytest.mark.parametrize("letter", ["a", "é"])
async def test_no_line_on_the_wire_is_longer_than_998_octets(
    bench: Bench, length: int, letter: str
) -> None:
    text = f"first\n{letter * length}\nlast\n"
    (copy,) = await bench.taken(body=text, subject="s" * 1998)
    assert max(map(len, copy.data.split(b"\r\n"))) <= 998
    assert unified(read(copy).get_content()) == text


@pytest.mark.bad_input("little and much")
@pytest.mark.parametrize("subject", ["", " ", None])
async def test_an_empty_message_is_a_message(bench: Bench, subject: str | None) -> None:
    (copy,) = await bench.taken(body="", subject=subject)
    assert read(copy)["Subject"].strip() == ""
    assert read(copy).get_content().strip() == ""


@pytest.mark.bad_input("content types")
@pytest.mark.parametrize(
    ("content_type", "sent"),
    [
        *[("html\r\nX-Inj: 1", "text/plain"), ("text/html", "text/plain"), ("", "text/plain")],
        *[("plain", "text/plain"), ("HTML", "text/html"), ("\0", "text/plain")],
    ],
)
async def test_anything_but_html_is_plain_text(bench: Bench, content_type: str, sent: str) -> None:
    (copy,) = await bench.taken(body="<p>x</p>\n", content_type=content_type)
    assert read(copy).get_content_type() == sent
    assert read(copy)["X-Inj"] is None


@pytest.mark.bad_input("costly headers")
async def test_headers_that_cost_much_are_refused_and_the_longest_are_cheap(bench: Bench) -> None:
    many = [f"Jörg Ünlü {n} <a{n}@customer.example>" for n in range(1000)]
    bad = [{"subject": "é" * 50_000}, {"to": many}, {"to": many[:500], "cc": many[500:501]}]
    bad += [{"reply_to": many[:501]}, {"subject": "s" * 2001}]
    reasons = await bench.reasons(*(bench.message(**fields) for fields in bad))
    assert {reason.partition(":")[0] for reason in reasons} == {"too large"}
    started = time.process_time()
    await bench.taken(subject="é" * 2000, to=many[:500])
    assert time.process_time() - started < CPU_SECONDS


@pytest.mark.bad_input("deep nesting in an address")
@pytest.mark.parametrize("field", ["from", "to", "cc", "bcc", "reply_to", "return_path"])
@pytest.mark.parametrize("nest", ["(", "(((", "<", '"', "[", ":", ",", "@", "\\", "a@b,"])
async def test_no_address_is_read_recursively(bench: Bench, field: str, nest: str) -> None:
    texts = [nest * 1000 + "a@b.example", nest * 300 + "a@b.example", "a@b.example" + nest * 1000]
    await bench.reasons(*(bench.message(**{field: text}) for text in texts))
