"""WASI for components: virtual, deterministic, empty.

There are no files, no sockets, no environment and no real clock. Standard output is kept for
messages. Time starts at the run's `as-of` and advances by a microsecond at each reading; random
numbers come from the run's seed. A conforming component transforms and predicts row by row, so that
neither can change a result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from wasmtime import component as wit

Answer = Callable[..., Any]

# The numbers of resource types that answers make.
POLLABLE, INPUT_STREAM, OUTPUT_STREAM = 11, 12, 13

ALWAYS = {
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
}

# Interfaces that a pipeline may grant as stubs, because a language runtime links them without need.
STUBS = {
    "filesystem": {"wasi:filesystem/types", "wasi:filesystem/preopens"},
    "sockets": {
        "wasi:sockets/tcp",
        "wasi:sockets/udp",
        "wasi:sockets/tcp-create-socket",
        "wasi:sockets/udp-create-socket",
        "wasi:sockets/instance-network",
        "wasi:sockets/network",
        "wasi:sockets/ip-name-lookup",
    },
}

_STEP_NANOSECONDS = 1_000
_MOST_OUTPUT = 16 << 10
_MOST_RANDOM = 1 << 20


class Exit(Exception):
    """The component ended itself."""


class Wasi:
    """The state of WASI of one instance."""

    def __init__(self, seed: int, as_of_microseconds: int) -> None:
        self._start = max(as_of_microseconds, 0) * 1_000
        self._elapsed = 0
        self._seed = seed
        self._blocks = 0
        self._left = b""
        self._output = bytearray()
        self._handles = 0

    def take_output(self) -> str:
        """Returns what was written to standard output and standard error since the last call."""
        text = bytes(self._output).decode("utf-8", "replace").strip()
        self._output.clear()
        return text

    def answers(self) -> dict[tuple[str, str], Answer]:
        """Returns the answers to functions, by interface and name. All others end the call."""
        streams, monotonic = "wasi:io/streams", "wasi:clocks/monotonic-clock"
        answers: dict[tuple[str, str], Answer] = {
            ("wasi:cli/environment", "get-environment"): lambda store: [],
            ("wasi:cli/environment", "get-arguments"): lambda store: [],
            ("wasi:cli/environment", "initial-cwd"): lambda store: None,
            ("wasi:cli/exit", "exit"): self._exit,
            ("wasi:cli/stdin", "get-stdin"): self._new(INPUT_STREAM),
            ("wasi:cli/stdout", "get-stdout"): self._new(OUTPUT_STREAM),
            ("wasi:cli/stderr", "get-stderr"): self._new(OUTPUT_STREAM),
            ("wasi:cli/terminal-stdin", "get-terminal-stdin"): lambda store: None,
            ("wasi:cli/terminal-stdout", "get-terminal-stdout"): lambda store: None,
            ("wasi:cli/terminal-stderr", "get-terminal-stderr"): lambda store: None,
            ("wasi:io/error", "[method]error.to-debug-string"): lambda store, error: "",
            ("wasi:io/poll", "[method]pollable.ready"): lambda store, pollable: True,
            ("wasi:io/poll", "[method]pollable.block"): lambda store, pollable: None,
            ("wasi:io/poll", "poll"): lambda store, pollables: list(range(len(pollables))),
            (streams, "[method]output-stream.check-write"): lambda store, stream: ("ok", _MOST_OUTPUT),
            (monotonic, "now"): lambda store: self._read_clock(),
            (monotonic, "resolution"): lambda store: _STEP_NANOSECONDS,
            (monotonic, "subscribe-instant"): self._timer(0),
            (monotonic, "subscribe-duration"): self._timer(1),
            ("wasi:clocks/wall-clock", "now"): self._now,
            ("wasi:clocks/wall-clock", "resolution"): lambda store: _date_time(_STEP_NANOSECONDS),
            ("wasi:random/random", "get-random-bytes"): lambda store, length: self._random(length),
            ("wasi:random/random", "get-random-u64"): lambda store: self._random_u64(),
            ("wasi:random/insecure", "get-insecure-random-bytes"): lambda store, length: self._random(length),
            ("wasi:random/insecure", "get-insecure-random-u64"): lambda store: self._random_u64(),
            ("wasi:random/insecure-seed", "insecure-seed"): lambda store: (self._seed, 0),
            ("wasi:filesystem/preopens", "get-directories"): lambda store: [],
        }
        for kind in ("input-stream", "output-stream"):
            answers[streams, f"[method]{kind}.subscribe"] = self._new(POLLABLE)
        for name in ("read", "blocking-read", "skip", "blocking-skip"):
            answers[streams, f"[method]input-stream.{name}"] = lambda store, *_: ("err", ("closed", None))
        for name in ("write", "blocking-write-and-flush"):
            answers[streams, f"[method]output-stream.{name}"] = self._write
        for name in ("flush", "blocking-flush"):
            answers[streams, f"[method]output-stream.{name}"] = lambda store, stream: ("ok", None)
        return answers

    def _new(self, kind: int) -> Answer:
        def make(store: Any, *_: Any) -> wit.ResourceHost:
            self._handles += 1
            return wit.ResourceHost.own(self._handles, kind)

        return make

    def _exit(self, store: Any, *_: Any) -> None:
        raise Exit("the component ended itself")

    def _write(self, store: Any, stream: Any, contents: bytes) -> tuple[str, None]:
        self._output += contents[: _MOST_OUTPUT - len(self._output)]
        return "ok", None

    def _read_clock(self) -> int:
        read = self._elapsed
        self._elapsed += _STEP_NANOSECONDS
        return read

    def _timer(self, relative: int) -> Answer:
        # A timer is ready as soon as it is asked for: the clock jumps to its end.
        def subscribe(store: Any, when: int) -> wit.ResourceHost:
            self._elapsed = max(self._elapsed, self._elapsed * relative + when)
            made: wit.ResourceHost = self._new(POLLABLE)(store)
            return made

        return subscribe

    def _now(self, store: Any) -> dict[str, int]:
        return _date_time(self._start + self._read_clock())

    def _random(self, length: int) -> bytes:
        if length > _MOST_RANDOM:
            raise ValueError("more random bytes than one call may ask for")
        while len(self._left) < length:
            block = self._seed.to_bytes(8, "little") + self._blocks.to_bytes(8, "little")
            self._left += hashlib.sha256(block).digest()
            self._blocks += 1
        taken, self._left = self._left[:length], self._left[length:]
        return taken

    def _random_u64(self) -> int:
        return int.from_bytes(self._random(8), "little")


def _date_time(nanoseconds: int) -> dict[str, int]:
    return {"seconds": nanoseconds // 1_000_000_000, "nanoseconds": nanoseconds % 1_000_000_000}
