"""The trace recorder of the settings; OpenTelemetry is loaded only if it is configured."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

from gateway.settings import Settings
from gateway.telemetry.trace import Recorder


class ClosableRecorder(Recorder, Protocol):
    """A recorder that flushes on close."""

    def close(self) -> None:
        """Blocks until everything is sent or discarded."""
        ...


def recorder_of(settings: Settings) -> ClosableRecorder | None:
    """The recorder of the settings, or None.

    Raises:
        ValueError: OpenTelemetry is not installed.
    """
    if settings.otlp_endpoint is None:
        return None
    try:
        from gateway.telemetry.otel import otlp_recorder  # noqa: PLC0415 - an extra; takes half a second to load
    except ImportError as error:
        raise ValueError("OSFAAS_OTLP_ENDPOINT needs OpenTelemetry: install the extra 'otel'") from error
    return otlp_recorder(settings.otlp_endpoint)


@contextlib.asynccontextmanager
async def recording(recorder: ClosableRecorder | None) -> AsyncIterator[None]:
    """Closes the recorder at the end."""
    try:
        yield
    finally:
        if recorder is not None:
            await asyncio.to_thread(recorder.close)
