"""Header and command injection (CWE-93): no field ends its line, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bad_bench import (
    CONTROLS,
    CR,
    CRLF,
    LF,
    LINE_ENDS_BEYOND_ASCII,
    Bench,
    attached,
    read,
)

from asyncmail.testing.running import mail

Fields = dict[str, Any]
MESSAGE_FIELDS: dict[str, Callable[[str], Fields]] = {
    "subject": lambda text: {"subject": f"Hello{text}"},
    "from": lambda text: {"from": f"a@shop.example{text}"},
    "to": lambda text: {"to": [f"a@customer.example{text}"]},
    "cc": lambda text: {"cc": f"a@customer.example{text}"},
    "bcc": lambda text: {"bcc": [f"a{text}@customer.example"]},
    "reply_to": lambda text: {"reply_to": f"a@shop.example{text}"},
    "return_path": lambda text: {"return_path": f"a@shop.example{text}"},
    "message_id": lambda text: {"message_id": f"<a@shop.example{text}>"},
    "header value": lambda text: {"headers": {"X-A": f"a{text}"}},
    "header name": lambda text: {"headers": {f"X-A{text}": "a"}},
    "filename": lambda text: attached(filename=f"a{text}.txt"),
    "storage_path": lambda text: attached(storage_path=f"/srv/a{text}"),
    "display name": lambda text: {"from": f'"Ann{text}" <a@shop.example>'},
    "account_id": lambda text: {"account_id": f"shop{text}"},
    "id": lambda text: {"id": f"a{text}"},
}
ACCOUNT_FIELDS: dict[str, Callable[[str], Fields]] = {
    "id of an account": lambda text: {"id": f"new{text}"},
    "user": lambda text: {"user": f"shop{text}"},
    "host": lambda text: {"host": f"smtp.example.com{text}"},
}


@pytest.mark.parametrize("field", [*MESSAGE_FIELDS, *ACCOUNT_FIELDS])
@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(CRLF, marks=pytest.mark.bad_input("CRLF"), id="CRLF"),
        pytest.param(LF, marks=pytest.mark.bad_input("lone LF"), id="LF"),
        pytest.param(CR, marks=pytest.mark.bad_input("lone CR"), id="CR"),
        pytest.param(
            LINE_ENDS_BEYOND_ASCII, marks=pytest.mark.bad_input("other line ends"), id="others"
        ),
        pytest.param(CONTROLS, marks=pytest.mark.bad_input("control characters"), id="controls"),
    ],
)
async def test_no_field_of_one_line_takes_a_line_end_or_a_control(
    bench: Bench, field: str, texts: list[str]
) -> None:
    every = [text for character in texts for text in (character, f"{character}x")]
    if field in ACCOUNT_FIELDS:
        for text in every:
            await bench.account_refused(**ACCOUNT_FIELDS[field](text))
        return
    reasons = await bench.reasons(*(bench.message(**MESSAGE_FIELDS[field](text)) for text in every))
    assert {reason.partition(":")[0] for reason in reasons} <= {
        *("invalid payload", "invalid address", "account not found")
    }


ENCODED = [
    *("=?UTF-8?Q?=0D=0A?=Bcc: evil@x", "=?utf-8?q?a=0Ab?=", "=?utf-8?b?Cg==?=", "=?x?q?=0a?="),
    *("=?iso-8859-1?Q?=85?=", "=?utf-8?q?=00?=", "=?utf-7?q?+AAo-?=", "=?utf-16?b?CgA=?="),
]
IN_HEADERS = sorted(MESSAGE_FIELDS.keys() - {"account_id", "id", "storage_path"})


@pytest.mark.bad_input("encoded line ends")
@pytest.mark.parametrize("field", IN_HEADERS)
async def test_no_encoded_word_hides_a_line_end(bench: Bench, field: str) -> None:
    await bench.reasons(*(bench.message(**MESSAGE_FIELDS[field](text)) for text in ENCODED))


@pytest.mark.bad_input("encoded line ends")
async def test_an_id_that_looks_encoded_is_opaque_and_stands_in_no_header(bench: Bench) -> None:
    for word in ENCODED:
        (copy,) = await bench.taken(id=word)
        assert b"=0D=0A" not in copy.data.upper()
        assert read(copy)["Bcc"] is None


@pytest.mark.bad_input("header names")
async def test_a_header_name_is_printable_ascii_without_colon_and_short(bench: Bench) -> None:
    names = ["X-A: b", "X A", "", "X-A:", "Ü", "X\0", "X" * 77, "X" * 1100, " X", "X ", "=?a?q?b?="]
    await bench.reasons(*(bench.message(headers={name: "v"}) for name in names))
    (copy,) = await bench.taken(headers={"X" * 76: "v", "x!#$%&'*+-.^_`|~9": "w"})
    assert read(copy)["X" * 76].strip() == "v"


RESERVED = [
    *("Bcc", "From", "To", "Cc", "Sender", "Reply-To", "Return-Path", "Received", "MIME-Version"),
    *("Message-ID", "Date", "Subject", "DKIM-Signature", "Content-Type", "Content-Foo"),
    *("Content-Transfer-Encoding", "Resent-To", "Resent-Bcc", "Resent-Foo", "ARC-Seal", "ARC-Foo"),
]


@pytest.mark.bad_input("reserved headers")
async def test_headers_of_the_service_cannot_be_set_in_any_case(bench: Bench) -> None:
    names = [
        spelt(name) for name in RESERVED for spelt in (str, str.lower, str.upper, str.swapcase)
    ]
    reasons = await bench.reasons(*(bench.message(headers={name: "v"}) for name in names))
    assert reasons == [f"invalid payload: header {name} is reserved" for name in names]


@pytest.mark.bad_input("header values")
async def test_a_header_value_is_a_short_text_or_a_number(bench: Bench) -> None:
    values: list[Any] = [["a"], {"a": 1}, True, None, "a" * 2001, "a" * 100_000, float("1e400")]
    bad = [bench.message(headers={"X-A": value}) for value in values[:-1]]
    bad += [bench.message(headers={f"X-{n}": "a" for n in range(count)}) for count in (101, 5000)]
    bad += [bench.message(headers=value) for value in ([], "X-A: b", 7)]
    await bench.reasons(*bad)
    (copy,) = await bench.taken(headers={"X-Text": "a" * 2000, "X-Int": 7, "X-Float": 0.5})
    assert [read(copy)[name] for name in ("X-Int", "X-Float")] == ["7", "0.5"]


@pytest.mark.bad_input("file names")
async def test_a_filename_is_a_base_name_whatever_was_sent(bench: Bench) -> None:
    bad = ["", " ", ".", "..", "../", "a/", "\u202egpj.exe", "a\0.txt", "\ud800.txt"]
    await bench.reasons(*(bench.message(**attached(filename=name)) for name in bad))
    for sent, shown in {
        'a"b;c=d.txt': 'a"b;c=d.txt',
        "../../etc/passwd": "passwd",
        "C:\\docs\\b.txt": "b.txt",
        "Ü" * 1000 + ".pdf": "Ü" * 251 + ".pdf",
        "n" * 1000: "n" * 255,
    }.items():
        (copy,) = await bench.taken(**attached(filename=sent))
        (part,) = read(copy).iter_attachments()
        assert part.get_filename() == shown


@pytest.mark.bad_input("media types")
async def test_a_media_type_is_one_that_may_be_attached(bench: Bench) -> None:
    bad = ["text", "text/", "/plain", "text/plain/x", "text/plain\r\nX: y", "text/plain; charset=x"]
    bad += ["multipart/mixed", "message/rfc822", "MESSAGE/RFC822", "text /plain", "text/é", "*/*"]
    await bench.reasons(*(bench.message(**attached(mime_type=kind)) for kind in bad))


@pytest.mark.bad_input("command parameters")
@pytest.mark.parametrize("field", ["from", "to", "cc", "bcc", "return_path"])
async def test_no_address_adds_a_parameter_to_its_command(bench: Bench, field: str) -> None:
    bad = ["a@b.example> SIZE=1", "a@b.example> NOTIFY=NEVER", "<a@b.example> BODY=8BITMIME"]
    bad += ["a@b.example SIZE=1", '"a> SIZE=1"@b.example', "a@b.example>\x20", "<a@b.example>>"]
    await bench.reasons(*(bench.message(**{field: address}) for address in bad))


@pytest.mark.bad_input("host names")
async def test_a_host_is_a_name_or_an_address_and_nothing_else(bench: Bench) -> None:
    bad = [
        "a b",
        " a",
        "a ",
        "",
        "a:25",
        "http://a",
        "/run/smtp",
        "h" * 1000,
        "a\r\nb",
        "a@b",
        "-a",
    ]
    for host in [*bad, "a..b", ".", "ü.example", None]:
        await bench.account_refused(host=host)


@pytest.mark.bad_input("Message-ID")
async def test_a_message_id_is_one_and_in_brackets(bench: Bench) -> None:
    bad = ["", "a", "@", "<a@b> <c@d>", "<a b@c>", "<a@b", "a@b>", "<<a@b>>", "<a@b>x", "<a@b@c>"]
    bad += ["<a@" + "b" * 1000 + ">", "<é@b>", "<a@b>\n", "<>", 7, ["<a@b>"]]
    await bench.reasons(*(bench.message(message_id=value) for value in bad))
    for sent in ("one@shop.example", "<one@shop.example>", " <one@shop.example> "):
        (copy,) = await bench.taken(message_id=sent)
        assert copy.message_id == "<one@shop.example>"


IDS = [
    *("' OR 1=1--", '"} evil{', "../x", "..", "/", "%00", "%0d%0a", "😀", "a b", "?x=1#y", "a;b"),
    *("'; DROP TABLE messages", "\\n", "{0}", "%s", "${x}", "<script>", "a\u202eb", "."),
]


@pytest.mark.bad_input("ids")
@pytest.mark.parametrize("id", IDS)
async def test_an_id_is_opaque_everywhere(
    bench: Bench, id: str, caplog: pytest.LogCaptureFixture
) -> None:
    service, quoted = bench.service, "".join(f"%{byte:02X}" for byte in id.encode())
    await service.account(id)
    await service.hand_in(mail(id, "a@customer.example", account_id=id))
    assert len(await bench.delivered()) == 1
    assert (await service.show(quoted))["account_id"] == id
    sent = {s.labels["account_id"]: s.value for s in await _samples(bench, "asyncmail_sent_total")}
    assert sent[id] == 1
    deleted = await service.post("/commands/delete-messages", {"ids": [id]})
    assert deleted["removed"] == 1
    assert (await bench.ask("DELETE", f"/account/{quoted}")).status_code == 200
    assert (await bench.ask("GET", f"/messages/{quoted}")).status_code == 404
    accounts = (await service.get("/accounts"))["accounts"]
    assert {account["id"] for account in accounts} == {"shop", "vault"}
    assert all("\n" not in record.getMessage() for record in caplog.records)


async def _samples(bench: Bench, name: str) -> list[Any]:
    from prometheus_client.parser import text_string_to_metric_families

    text = (await bench.ask("GET", "/metrics")).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    return list(families[name.removesuffix("_total")].samples)
