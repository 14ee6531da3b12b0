"""What arrives at a broker, what counts as confirmed, and how a sink goes on after failures."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import trustme
from asyncmail_streams import MqttSettings, NatsSettings, RabbitMqSettings, RedisSettings
from asyncmail_streams.notes import note_of
from brokers import HOST, Fate, Relay, free_port, own_broker
from pydantic import ValidationError
from receivers import BrokerReceiver, MqttReceiver, NatsReceiver, RabbitMqReceiver, RedisReceiver

from asyncmail import Offer, Sink, SinkUnavailable
from asyncmail.errors import ConfigurationError, PluginError
from asyncmail.model import Report
from asyncmail.testing import LoneContext, make_extension
from asyncmail.testing.samples import report

Make = Callable[..., Any]
BROKERS = ("redis", "nats", "rabbitmq", "mqtt")
PASSWORD = "n0t-the-right-one"
only = pytest.mark.parametrize


def reports(*ids: str) -> list[Report]:
    return [report(id, key=number) for number, id in enumerate(ids)]


async def unavailable(sink: Sink) -> str:
    with pytest.raises(SinkUnavailable) as caught:
        await sink.deliver(reports("m1"))
    return str(caught.value)


# --- what arrives -------------------------------------------------------------------------------


async def test_a_result_arrives_as_json_that_tells_all_of_it(
    sink: Make, receiver: BrokerReceiver
) -> None:
    made = await sink()
    await made.deliver([report("m1", error="550 нет", generation=2, result_seq=3, tags=("a",))])
    [body] = await receiver.bodies()
    found = json.loads(body)
    assert len(found.pop("report_id")) == 40
    assert found == {
        "tenant_id": "default",
        "id": "m1",
        "account_id": "shop",
        "priority": 2,
        "sent_ts": None,
        "error_ts": 1_750_000_000,
        "error": "550 нет",
        "deferred_ts": None,
        "generation": 2,
        "result_seq": 3,
        "tags": ["a"],
    }


def test_a_result_has_the_same_id_and_body_for_ever_and_no_other_has_it() -> None:
    one = note_of(report("m1"))
    assert one == note_of(report("m1", key=99))
    others = [
        report("m2"),
        report("m1", generation=2),
        report("m1", result_seq=2),
        report("m1", tenant_id="other"),
    ]
    assert len({one.id, *(note_of(other).id for other in others)}) == 5


@only("broker_name", ["redis"])
async def test_an_entry_of_redis_names_the_result(sink: Make, receiver: RedisReceiver) -> None:
    await (await sink()).deliver(reports("m1"))
    [entry] = await receiver.entries()
    assert entry[b"id"].decode() == json.loads(entry[b"report"])["report_id"]


@only("broker_name", ["redis"])
async def test_a_stream_is_kept_at_about_its_length(sink: Make, receiver: RedisReceiver) -> None:
    made = await sink(max_length=100)
    await made.deliver(reports(*(f"m{number}" for number in range(500))))
    assert 100 <= len(await receiver.entries()) < 300


@only("broker_name", ["nats"])
async def test_jetstream_keeps_one_of_a_result_that_comes_twice(
    sink: Make, receiver: NatsReceiver
) -> None:
    made = await sink()
    for _ in range(2):
        await made.deliver(reports("m1"))
    [message] = await receiver.messages()
    assert message.headers["Nats-Msg-Id"] == json.loads(message.data)["report_id"]


@only("broker_name", ["rabbitmq"])
async def test_a_message_of_rabbitmq_is_persistent_and_names_the_result(
    sink: Make, receiver: RabbitMqReceiver
) -> None:
    await (await sink()).deliver(reports("m1"))
    [body] = await receiver.bodies()
    [message] = receiver.messages
    assert message.message_id == json.loads(body)["report_id"]
    assert (message.delivery_mode, message.content_type) == (2, "application/json")


@only("broker_name", ["rabbitmq"])
async def test_the_default_exchange_leads_to_a_queue_by_its_name(
    sink: Make, receiver: RabbitMqReceiver
) -> None:
    made = await sink(exchange="", routing_key=receiver.name)
    await made.deliver(reports("m1"))
    assert await receiver.confirmed() == ["m1"]


@only("broker_name", ["mqtt"])
async def test_a_message_of_mqtt_names_the_result(sink: Make, receiver: MqttReceiver) -> None:
    await (await sink()).deliver(reports("m1"))
    [body] = await receiver.bodies()
    [message] = receiver.messages
    assert message.qos == 1
    assert message.properties is not None
    assert message.properties.UserProperty == [("id", json.loads(body)["report_id"])]


# --- what counts as confirmed -------------------------------------------------------------------


@only("broker_name", ["nats"])
async def test_a_full_stream_acknowledges_what_it_has_room_for(
    sink: Make, receiver: NatsReceiver
) -> None:
    config = (await receiver.stream.stream_info(receiver.name)).config
    await receiver.stream.update_stream(config, max_msgs=2, discard="new")
    ack = await (await sink()).deliver(reports("a", "b", "c"))
    assert (ack.accepted, ack.retry) == ({"a", "b"}, {"c"})
    assert await receiver.confirmed() == ["a", "b"]


@only("broker_name", ["rabbitmq"])
async def test_a_full_queue_acknowledges_what_it_has_room_for(
    sink: Make, receiver: RabbitMqReceiver
) -> None:
    limits = {"x-max-length": 2, "x-overflow": "reject-publish"}
    full = await receiver.channel.declare_queue(f"{receiver.name}-full", arguments=limits)
    try:
        made = await sink(exchange="", routing_key=full.name)
        for _ in range(2):  # to have it full for certain
            ack = await made.deliver(reports("a", "b", "c"))
            if ack.retry:
                break
        assert "c" in ack.retry
        assert not ack.accepted & ack.retry
    finally:
        await full.delete(if_empty=False)


@only("broker_name", ["nats"])
async def test_another_stream_than_the_one_named_is_refused(
    sink: Make, receiver: NatsReceiver
) -> None:
    assert "expected stream" in await unavailable(await sink(stream="another"))
    assert await receiver.bodies() == []


@only("broker_name", ["rabbitmq"])
async def test_an_exchange_that_is_missing_is_named(sink: Make, receiver: BrokerReceiver) -> None:
    assert "no exchange 'no-such-exchange'" in await unavailable(
        await sink(exchange="no-such-exchange")
    )


@only("broker_name", ["mqtt"])
async def test_mqtt_may_do_without_subscribers(sink: Make, receiver: MqttReceiver) -> None:
    await receiver.refuse(True)
    assert "No matching subscribers" in await unavailable(await sink())
    ack = await (await sink(need_subscriber=False)).deliver(reports("m1"))
    assert not ack.retry


async def test_a_broker_of_mqtt_that_does_not_permit_it_acknowledges_nothing(
    tmp_path: Path,
) -> None:
    """It sends a PUBACK nevertheless, which says that it was not taken."""
    (tmp_path / "acl").write_text("topic read #\n")
    config = tmp_path / "mosquitto.conf"
    # Started by root it would change to a user who cannot read the files of a test.
    config.write_text(f"user root\nallow_anonymous true\nacl_file {tmp_path / 'acl'}\n")
    with own_broker("mqtt", ["-p", "PORT", "-c", str(config)]) as port:
        settings = {"port": port, "need_subscriber": False}
        made = make_extension(Sink, "mqtt", settings, LoneContext(name="mqtt"))
        assert "Not authorized" in await unavailable(made)
        await made.stop()


# --- going on after failures --------------------------------------------------------------------


async def test_a_connection_that_was_lost_is_made_anew_by_the_next_call(
    sink: Make, receiver: BrokerReceiver
) -> None:
    made = await sink()
    await made.deliver(reports("a"))
    receiver.relay.cut()
    try:
        await made.deliver(reports("b"))
    except SinkUnavailable:  # it may only now notice that the connection is gone
        await made.deliver(reports("b"))
    assert await receiver.confirmed() == ["a", "b"]
    assert receiver.relay.connections == 2


async def test_one_connection_serves_many_calls(sink: Make, receiver: BrokerReceiver) -> None:
    made = await sink()
    for id in "abcde":
        await made.deliver(reports(id))
    assert receiver.relay.connections == 1


async def test_a_silent_broker_is_given_up_in_time_and_leaves_nothing(
    sink: Make, receiver: BrokerReceiver
) -> None:
    before = asyncio.all_tasks()
    made = await sink(timeout_seconds=0.3)
    receiver.relay.fate = Fate.SILENCE
    assert "no confirmation within 0.3 s" in await unavailable(made)
    receiver.relay.fate = Fate.ARRIVES
    await made.deliver(reports("m2"))
    await made.stop()
    receiver.relay.cut()
    async with asyncio.timeout(5):
        while left := asyncio.all_tasks() - before:
            await asyncio.wait(left, timeout=1)
    assert await receiver.confirmed() == ["m2"]


@pytest.mark.parametrize("broker", BROKERS)
async def test_a_broker_that_is_down_keeps_nobody_from_starting(broker: str) -> None:
    settings = {"port": free_port(), "timeout_seconds": 5}
    made = make_extension(Sink, broker, settings, LoneContext(name=broker))
    await made.start()
    assert f"{broker} did not confirm 1 of 1 results" in await unavailable(made)
    await made.stop()


@pytest.mark.parametrize("broker", BROKERS)
async def test_a_port_that_accepts_and_says_nothing_is_given_up_in_time(broker: str) -> None:
    over = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    before = asyncio.all_tasks()
    async with await asyncio.start_server(hold, HOST, 0) as server:
        settings = {"port": server.sockets[0].getsockname()[1], "timeout_seconds": 0.3}
        made = make_extension(Sink, broker, settings, LoneContext(name=broker))
        assert f"{broker} did not confirm 1 of 1 results" in await unavailable(made)
        await made.stop()
        over.set()
    async with asyncio.timeout(5):
        while left := asyncio.all_tasks() - before:
            await asyncio.wait(left, timeout=1)


# --- secrets and TLS ----------------------------------------------------------------------------


@only("broker_name", ["redis", "rabbitmq"])
async def test_a_wrong_password_is_an_error_that_does_not_show_it(
    sink: Make, receiver: BrokerReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    made = await sink(user="nobody", password=PASSWORD)
    with caplog.at_level(logging.DEBUG):
        words = await unavailable(made)
    assert PASSWORD not in words + caplog.text


async def test_a_password_is_used(tmp_path: Path) -> None:
    arguments = ["-a", HOST, "-p", "PORT", "--user", "mail", "--pass", PASSWORD]
    with own_broker("nats", [*arguments, "-js", "-sd", str(tmp_path)]) as port:
        for password, words in ((PASSWORD, "no response from stream"), ("x", "Authorization")):
            settings = {"port": port, "user": "mail", "password": password}
            made = make_extension(Sink, "nats", settings, LoneContext(name="nats"))
            assert words in await unavailable(made)
            await made.stop()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


# paho-mqtt leaves a socket behind whose TLS handshake failed; the garbage collector closes it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@only("broker_name", ["redis", "rabbitmq", "mqtt"])
async def test_tls_is_spoken_and_certificates_are_verified(
    sink: Make, receiver: BrokerReceiver, authority: trustme.CA, ca_file: Path
) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(server)
    async with Relay.running(receiver.relay.target, server) as relay:
        made = await sink(port=relay.port, tls=True, ca_file=str(ca_file))
        await made.deliver(reports("m1"))
        assert await receiver.confirmed() == ["m1"]
        assert "certificate" in (await unavailable(await sink(port=relay.port, tls=True))).lower()


async def test_tls_is_spoken_with_nats(
    authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    certificate = authority.issue_cert(HOST)
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    pem = str(tmp_path / "server.pem")
    tls = ["--tls", "--tlscert", pem, "--tlskey", pem, "-js", "-sd", str(tmp_path)]
    with own_broker("nats", ["-a", HOST, "-p", "PORT", *tls]) as port:
        for ca, words in ((str(ca_file), "no response from stream"), (None, "certificate")):
            settings = {"port": port, "tls": True, "ca_file": ca}
            made = make_extension(Sink, "nats", settings, LoneContext(name="nats"))
            await made.start()
            assert words in (await unavailable(made)).lower()
            await made.stop()


async def test_a_ca_file_that_is_missing_stops_the_start(tmp_path: Path) -> None:
    settings = {"tls": True, "ca_file": str(tmp_path / "none.pem")}
    made = make_extension(Sink, "redis", settings, LoneContext(name="redis"))
    with pytest.raises(ConfigurationError, match=r"\[plugins.redis\] ca_file .*none.pem"):
        await made.start()


# --- settings and extras ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broker", "library"),
    [("redis", "redis"), ("nats", "nats"), ("rabbitmq", "aio_pika"), ("mqtt", "aiomqtt")],
)
def test_a_library_that_is_missing_is_named_with_its_extra(
    broker: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == library or name == f"asyncmail_streams.{broker}_link":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "asyncmail_streams.mqtt_client", raising=False)
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not installed
    with pytest.raises(PluginError, match=rf"pip install 'asyncmail-streams\[{broker}\]'"):
        make_extension(Sink, broker, {}, LoneContext(name=broker))


@pytest.mark.parametrize(
    ("model", "settings", "why"),
    [
        (RedisSettings, {"stream": ""}, "stream"),
        (RedisSettings, {"ca_file": "/ca.pem"}, "without tls"),
        (RedisSettings, {"timeout_seconds": 0}, "greater"),
        (NatsSettings, {"subject": "a.*"}, "wildcards"),
        (NatsSettings, {"subject": "a..b"}, "empty tokens"),
        (NatsSettings, {"subject": "a b"}, "blanks"),
        (RabbitMqSettings, {"routing_key": ""}, "routing_key"),
        (MqttSettings, {"topic": "a/#"}, "wildcards"),
        (MqttSettings, {"port": 0}, "port"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    model: Callable[..., object], settings: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValidationError, match=why):
        model(**settings)


def test_the_package_announces_a_sink_for_each_broker() -> None:
    [entry] = entry_points(group="asyncmail.v1", name="streams")
    offers = entry.load().asyncmail_sinks()
    assert all(isinstance(offer, Offer) for offer in offers)
    assert [offer.name for offer in offers] == list(BROKERS)
