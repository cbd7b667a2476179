"""A component in its sandbox: what it may import, and how its exports are called.

A component gets the interfaces of the contract that predictions need (`blobs`, to read its state,
and `tracking`, whose messages go to the log), the virtual WASI, and nothing else. Every other
import is refused before anything of the component is executed. Functions that only training needs
end the call.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from wasmtime import Config, Engine, Store, WasmtimeError
from wasmtime import component as wit

from . import _values
from ._limits import Deadline, Limits
from ._wasi import ALWAYS, INPUT_STREAM, OUTPUT_STREAM, POLLABLE, STUBS, Wasi
from .errors import ComponentError, DataError, ModelError, shown

log = logging.getLogger("stagewright")

# The version of the contract in `wit/` that this package answers.
CONTRACT = "0.2"
_OURS = "stagewright:stage"
_IMPORTS = {f"{_OURS}/types", f"{_OURS}/tables", f"{_OURS}/blobs", f"{_OURS}/tracking"}

# The numbers of resource types. A type that an interface uses from another one has the same name in
# both.
_BLOB = 1
_RESOURCES = {"blob": _BLOB, "pollable": POLLABLE, "input-stream": INPUT_STREAM, "output-stream": OUTPUT_STREAM}
_FIRST_OTHER = 100

# Of one instance, as the program `stagewright` has them for its components.
_STACK_BYTES = 1 << 20
_TABLE_ELEMENTS = 100_000
_INSTANCES = 100
# Linear memories of one component. Its limit of memory holds for each of them.
_MEMORIES = 1

# One call of `blob.read` returns no more. A value of a component takes 32 bytes in the engine for
# each byte.
_MOST_READ = 1 << 20
_MOST_MESSAGE = 4 << 10
# Of treatments and columns together.
_MOST_COUNTS = 1 << 20


def engine() -> Engine:
    """Returns an engine for the components of one model."""
    config = Config()
    config.wasm_component_model = True
    config.epoch_interruption = True
    config.wasm_relaxed_simd_deterministic = True
    config.max_wasm_stack = _STACK_BYTES
    return Engine(config)


class Sandbox:
    """A compiled component. `open` makes an instance of it."""

    def __init__(self, on: Engine, name: str, wasm: bytes, stubs: Iterable[str], seed: int, as_of: int) -> None:
        """Compiles the component.

        Raises `ModelError` if it imports what it may not have.
        """
        self._engine = on
        self.name = name
        self._seed = seed
        self._as_of = as_of
        self._deadline = Deadline(on)
        try:
            self._component = wit.Component(on, wasm)
        except WasmtimeError as error:
            raise ModelError(f"the component {shown(name)} cannot be compiled: {shown(error, 500)}") from None
        imports = self._component.type.imports(on)
        self._imports = {full: extern.ty for full, extern in imports.items()}
        _admit(name, self._imports, set(stubs))

    def open(self, limits: Limits) -> Instance:
        """Starts a fresh instance."""
        wasi = Wasi(self._seed, self._as_of)
        return Instance(self._engine, self._component, self._imports, self.name, limits, self._deadline, wasi)


class Instance:
    """A running component. It is used by one thread at a time."""

    def __init__(
        self,
        on: Engine,
        component: wit.Component,
        imports: dict[str, Any],
        name: str,
        limits: Limits,
        deadline: Deadline,
        wasi: Wasi,
    ) -> None:
        self._name = name
        self._limits = limits
        self._deadline = deadline
        self._wasi = wasi
        self._fault: BaseException | None = None
        self._blobs: dict[int, bytes] = {}
        self._counts: dict[tuple[str, int], int] = {}
        self._functions: dict[tuple[str, str], _values.Function] = {}
        self._store = Store(on)
        self._store.set_limits(limits.memory_bytes, _TABLE_ELEMENTS, _INSTANCES, _INSTANCES, _MEMORIES)
        self._linker = wit.Linker(on)
        self._kept = self._link(on, imports)
        with self._guarded("start"):
            self._instance = self._linker.instantiate(self._store, component)

    def _link(self, on: Engine, imports: dict[str, Any]) -> list[Any]:
        answers = self._wasi.answers() | {
            (f"{_OURS}/blobs", "[method]blob.size"): lambda store, blob: len(self._blobs[blob]),
            (f"{_OURS}/blobs", "[method]blob.read"): self._read_blob,
            (f"{_OURS}/tracking", "log"): self._log,
            (f"{_OURS}/tracking", "progress"): lambda store, *_: None,
            (f"{_OURS}/tracking", "metric"): lambda store, *_: None,
            (f"{_OURS}/tracking", "count"): self._count,
        }
        # The engine's package holds these as long as the linker lives. So they must not hold the
        # instance, which holds the linker.
        blobs = self._blobs
        dropped: dict[int, Any] = {_BLOB: lambda store, rep: blobs.pop(rep, None)}
        resources = dict(_RESOURCES)
        kept: list[Any] = []
        with self._linker.root() as root:
            for full, interface in imports.items():
                of = full.split("@")[0]
                with root.add_instance(full) as instance:
                    for name, item in interface.exports(on).items():
                        ty = item.ty
                        if isinstance(ty, wit.ResourceType):
                            number = resources.setdefault(name, _FIRST_OTHER + len(resources))
                            instance.add_resource(name, wit.ResourceType.host(number), dropped.get(number, _ignored))
                        elif isinstance(ty, wit.FuncType):
                            answer = answers.get((of, name)) or _refusing(of, name)
                            kept.append(_values.define(instance, name, ty, answer, self._failed))
        return kept

    def _failed(self, error: BaseException) -> None:
        self._fault = self._fault or error

    def _read_blob(self, _: Any, blob: int, offset: int, length: int) -> tuple[str, Any]:
        contents = self._blobs[blob]
        if offset > len(contents):
            return "err", ("internal", f"read from byte {offset} of a blob of {len(contents)} bytes")
        return "ok", contents[offset : offset + min(length, _MOST_READ)]

    def _log(self, _: Any, level: str, message: str) -> None:
        levels = {"debug": logging.DEBUG, "info": logging.DEBUG, "warn": logging.WARNING, "error": logging.WARNING}
        log.log(levels.get(level, logging.DEBUG), "%s: %s", self._name, shown(message, _MOST_MESSAGE))

    def _count(self, _: Any, treatment: str, column: int, rows: int) -> None:
        if (treatment, column) in self._counts or len(self._counts) < _MOST_COUNTS:
            self._counts[treatment, column] = self._counts.get((treatment, column), 0) + rows

    def lend(self, contents: bytes) -> wit.ResourceHost:
        """Returns a blob that a call may take."""
        rep = max(self._blobs, default=0) + 1
        self._blobs[rep] = contents
        return wit.ResourceHost.own(rep, _BLOB)

    def take_counts(self, treatment: str) -> dict[int, int]:
        """Returns the counts of cells that were treated so, by column, since the last call."""
        taken = {column: count for (name, column), count in self._counts.items() if name == treatment}
        self._counts.clear()
        return taken

    def call(self, interface: str, name: str, *arguments: Any) -> Any:
        """Calls an export of an interface of the contract.

        Raises `ComponentError` or `DataError`.
        """
        with self._guarded(f"{interface}.{name.split(']')[-1]}"):
            function = self._functions.get((interface, name)) or self._find(interface, name)
            returned = function(*arguments)
        if not (isinstance(returned, tuple) and returned[0] in ("ok", "err")):
            return returned
        if returned[0] == "err":
            raise self._failure(returned[1])
        return returned[1]

    def _find(self, interface: str, name: str) -> _values.Function:
        within = self._instance.get_export_index(self._store, f"{_OURS}/{interface}@{CONTRACT}.0")
        index = within and self._instance.get_export_index(self._store, name, within)
        found = index and self._instance.get_func(self._store, index)
        if not found:
            raise ModelError(f"the component {shown(self._name)} has no `{interface}.{name}` of contract {CONTRACT}")
        function = _values.Function(self._store, found)
        self._functions[interface, name] = function
        return function

    def broke(self, export: str, problem: object) -> ComponentError:
        """Returns the error of a component that broke the contract."""
        return ComponentError(f"the component {shown(self._name)} broke the contract in `{export}`: {shown(problem, 500)}")

    def _failure(self, failure: tuple[str, Any]) -> Exception:
        kind, detail = failure
        if kind == "data":
            message = shown(detail["message"], _MOST_MESSAGE)
            value = detail.get("value")
            message += "" if value is None else f": {shown(value)}"
            return DataError(message, detail.get("column"), detail.get("row"))
        detail = detail["message"] if isinstance(detail, dict) else detail
        return ComponentError(f"the component {shown(self._name)} failed: {shown(detail, _MOST_MESSAGE)}")

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        """Limits the time of a call, and says why it did not return."""
        self._fault = None
        self._store.set_epoch_deadline(1)
        try:
            with self._deadline.of(self._limits.seconds):
                yield
        except WasmtimeError as error:
            raise self._explained(what, error) from None

    def _explained(self, what: str, error: WasmtimeError) -> ComponentError:
        at = f"the component {shown(self._name)}, in `{what}`,"
        output = self._wasi.take_output()
        if self._deadline.has_passed:
            return ComponentError(
                f"{at} ran past its limit of {self._limits.seconds:g} s\n"
                'hint: allow more: mlflow.pyfunc.load_model(..., model_config={"seconds": ...})'
            )
        if self._fault is not None and not isinstance(self._fault, Exception):
            raise self._fault  # The user's interrupt.
        if self._fault is not None:
            return ComponentError(f"{at} was ended: {shown(self._fault, 500)}")
        told = shown(output or _first_line(error), 1_000)
        if "fuel allocated for hostcalls" in told:
            return ComponentError(f"{at} returned more bytes than one call may")
        # Where the engine refuses memory, a component crashes in a way of its own.
        return ComponentError(
            f"{at} crashed: {told}\n"
            f"hint: it may have needed more than {self._limits.memory_bytes} bytes of memory; "
            'to allow more: mlflow.pyfunc.load_model(..., model_config={"memory_bytes": ...})'
        )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _ignored(store: Any, rep: int) -> None:
    """Nothing is left of a dropped resource."""


def _refusing(interface: str, name: str) -> Any:
    def refuse(*_: Any) -> None:
        raise PermissionError(f"it called `{interface}.{name}`, which predictions have not")

    return refuse


def _admit(component: str, imports: dict[str, Any], stubs: set[str]) -> None:
    """Checks the imports of a component.

    Raises `ModelError` for the first that it may not have.
    """
    granted = _IMPORTS | ALWAYS
    for stub in stubs:
        granted = granted | STUBS.get(stub, set())
    for full, item in imports.items():
        name, _, version = full.partition("@")
        expected = CONTRACT if name.startswith(_OURS) else "0.2"
        if name not in granted or not isinstance(item, wit.ComponentInstanceType):
            raise ModelError(f"the component {shown(component)} imports {shown(full)}, which predictions do not get")
        if not re.fullmatch(re.escape(expected) + r"\.\d+", version):
            raise ModelError(
                f"the component {shown(component)} imports {shown(full)}, and this package has version {expected} of it"
            )
