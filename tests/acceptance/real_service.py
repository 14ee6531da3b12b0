"""The names of ``asyncmail.testing.real_service``, at hand for the tests beside it."""

from asyncmail.testing.real_service import (
    ASYNCMAIL,
    PATIENCE,
    RealService,
    helper,
    id_of,
    mail,
    until,
)

__all__ = ["ASYNCMAIL", "PATIENCE", "RealService", "helper", "id_of", "mail", "until"]
