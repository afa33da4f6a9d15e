"""Whether traces are recorded: only what is configured is loaded."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

from gateway.settings import Settings
from gateway.telemetry.trace import Recorder


class ClosableRecorder(Recorder, Protocol):
    """A recorder that sends what is left when it ends."""

    def close(self) -> None:
        """Blocks until that is sent, or given up."""
        ...


def recorder_of(settings: Settings) -> ClosableRecorder | None:
    """The recorder of the settings, or None.

    Raises:
        ValueError: OpenTelemetry is not installed.
    """
    if settings.otlp_endpoint is None:
        return None
    try:
        from gateway.telemetry.otel import otlp_recorder  # noqa: PLC0415 - an extra; half a second for those who want it
    except ImportError as error:
        raise ValueError("OSFAAS_OTLP_ENDPOINT needs OpenTelemetry: install the extra 'otel'") from error
    return otlp_recorder(settings.otlp_endpoint)


@contextlib.asynccontextmanager
async def recording(recorder: ClosableRecorder | None) -> AsyncIterator[None]:
    """The life of a recorder."""
    try:
        yield
    finally:
        if recorder is not None:
            await asyncio.to_thread(recorder.close)
