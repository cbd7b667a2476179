"""The limits of a component, and the clock that ends it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from wasmtime import Engine


@dataclass(frozen=True)
class Limits:
    """The limits of one component."""

    # Of the linear memory of its instance.
    memory_bytes: int
    # For each call: to load a state, or to answer at most some thousand rows.
    seconds: float


class Deadline:
    """Ends calls that take too long.

    The engine compares its epoch with the deadline of a store, in loops and at calls. So a thread
    that advances the epoch once, at the end of the time, ends the call.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        # The calls that have ended.
        self._ended = 0
        self.has_passed = False

    @contextmanager
    def of(self, seconds: float) -> Iterator[None]:
        """Ends what the engine executes meanwhile after this time. Stores have a deadline of one
        epoch, and one call is made at a time."""
        self.has_passed = False
        timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), self._pass, [self._ended])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._lock:
                self._ended += 1

    def _pass(self, call: int) -> None:
        # A timer that comes late must not end the next call.
        with self._lock:
            if call == self._ended:
                self.has_passed = True
                self._engine.increment_epoch()
