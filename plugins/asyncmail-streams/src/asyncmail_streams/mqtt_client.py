"""aiomqtt's client, with two things that its ``publish`` keeps to itself: the answer of the broker,
and the end of the connection."""

from __future__ import annotations

import asyncio
from typing import Any

import aiomqtt
from paho.mqtt.client import MQTT_ERR_SUCCESS
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode


class AnsweredClient(aiomqtt.Client):
    """A PUBACK of MQTT 5 may say that the broker did not take the message (3.4.2.1); aiomqtt 2 takes
    every PUBACK for a confirmation."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, protocol=aiomqtt.ProtocolVersion.V5, **more)
        self._answers: dict[int, asyncio.Future[ReasonCode]] = {}

    def send(self, topic: str, body: bytes, properties: Properties) -> asyncio.Future[ReasonCode]:
        """Publish with QoS 1; the future gets the broker's answer. Raises ``MqttError``."""
        info = self._client.publish(topic, body, qos=1, properties=properties)
        if info.rc != MQTT_ERR_SUCCESS:
            raise aiomqtt.MqttCodeError(info.rc, "could not publish")
        answer: asyncio.Future[ReasonCode] = self._loop.create_future()
        self._answers[info.mid] = answer
        return answer

    async def ended(self) -> Exception:
        """Return when the connection is lost, with the reason."""
        try:
            async for _ in self.messages:  # there are none, since nothing is subscribed to
                pass
        except aiomqtt.MqttError as error:
            return error
        return ConnectionError("the connection ended")

    def hang_up(self) -> None:
        """End a connection of which nobody knows how far it got."""
        self._client.disconnect()

    def _on_publish(
        self,
        client: Any,
        userdata: Any,
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        answer = self._answers.pop(mid, None)
        if answer is not None and not answer.done():
            answer.set_result(reason_code)
