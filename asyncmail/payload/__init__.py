"""From the JSON of a message to a ``Message``: every rule about what a client may ask for, once."""

from asyncmail.payload.message import fill_in, message_from_payload

__all__ = ["fill_in", "message_from_payload"]
