"""Values of components, to and from the engine's C interface.

The engine's own conversion takes a microsecond for each byte of a `list<u8>`, and batches are such
lists. Here they are copied as arrays. Everything else is converted as in `wasmtime.component`:

=================  ==========================================
component model    Python
=================  ==========================================
`list<u8>`         `bytes`
other `list`       `list`
`tuple`            `tuple`
`record`           `dict`
`variant`          `(case, payload)`
`result`           `("ok", payload)` or `("err", payload)`
`option`           the payload or `None`
`enum`, `string`   `str`
a resource         `wasmtime.component.ResourceAny`
=================  ==========================================

This is the only module that names the C interface. It is not a public one, so `pyproject.toml`
bounds the version of `wasmtime`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from wasmtime import Store
from wasmtime import _ffi as _c_interface
from wasmtime import component as wit

ffi: Any = _c_interface

_VALUE: Any = ffi.wasmtime_component_val_t
_SIZE: int = ctypes.sizeof(_VALUE)
_KIND_AT: int = _VALUE.kind.offset
_BYTE_AT: int = _VALUE.of.offset

# A conversion to the slot of a value, which is empty, and one from it, which copies.
Lower = Callable[[Any, Any, Any], None]
Lift = Callable[[Any], Any]


class Converter:
    """Converts values of one type in both directions."""

    def __init__(self, lower: Lower, lift: Lift) -> None:
        self.lower = lower
        self.lift = lift


_SCALARS: dict[type, tuple[str, str]] = {
    wit.Bool: ("WASMTIME_COMPONENT_BOOL", "boolean"),
    wit.U8: ("WASMTIME_COMPONENT_U8", "u8"),
    wit.U16: ("WASMTIME_COMPONENT_U16", "u16"),
    wit.U32: ("WASMTIME_COMPONENT_U32", "u32"),
    wit.U64: ("WASMTIME_COMPONENT_U64", "u64"),
    wit.S8: ("WASMTIME_COMPONENT_S8", "s8"),
    wit.S16: ("WASMTIME_COMPONENT_S16", "s16"),
    wit.S32: ("WASMTIME_COMPONENT_S32", "s32"),
    wit.S64: ("WASMTIME_COMPONENT_S64", "s64"),
    wit.F64: ("WASMTIME_COMPONENT_F64", "f64"),
}


def converter(of: wit.ValType | None) -> Converter:
    """Returns the converter of a type; that of no value for `None`."""
    if of is None:
        return Converter(lambda store, value, slot: None, lambda slot: None)
    if type(of) in _SCALARS:
        return _scalar(*_SCALARS[type(of)])
    if isinstance(of, wit.String):
        return _text(ffi.WASMTIME_COMPONENT_STRING, "string")
    if isinstance(of, wit.EnumType):
        return _text(ffi.WASMTIME_COMPONENT_ENUM, "enumeration")
    if isinstance(of, wit.ListType):
        return _bytes() if isinstance(of.element, wit.U8) else _list(converter(of.element))
    if isinstance(of, wit.TupleType):
        return _tuple([converter(element) for element in of.elements])
    if isinstance(of, wit.RecordType):
        return _record([(name, converter(field)) for name, field in of.fields])
    if isinstance(of, wit.VariantType):
        return _variant({name: _payload(case) for name, case in of.cases})
    if isinstance(of, wit.OptionType):
        return _option(_payload(of.payload))
    if isinstance(of, wit.ResultType):
        return _result(_payload(of.ok), _payload(of.err))
    if isinstance(of, (wit.OwnType, wit.BorrowType)):
        return _resource(is_owned=isinstance(of, wit.OwnType))
    return _refused(type(of).__name__)


def _refused(name: str) -> Converter:
    def refuse(*_: Any) -> Any:
        raise TypeError(f"values of the type {name} are not part of the contract")

    return Converter(refuse, refuse)


def _scalar(kind: str, member: str) -> Converter:
    number = getattr(ffi, kind)

    def lower(_: Any, value: Any, slot: Any) -> None:
        slot.kind = number
        setattr(slot.of, member, value)

    return Converter(lower, lambda slot: getattr(slot.of, member))


def _text(kind: Any, member: str) -> Converter:
    def lower(_: Any, value: Any, slot: Any) -> None:
        setattr(slot.of, member, ffi.str_to_capi(value))
        slot.kind = kind

    return Converter(lower, lambda slot: ffi.to_str(getattr(slot.of, member)))


def _bytes() -> Converter:
    kind = ffi.WASMTIME_COMPONENT_U8.value

    def table(items: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
        size = items.size * _SIZE
        memory = (ctypes.c_uint8 * size).from_address(ctypes.addressof(items.data.contents))
        return np.frombuffer(memory, np.uint8).reshape(items.size, _SIZE)

    def lower(_: Any, value: bytes, slot: Any) -> None:
        items = _new_list(len(value))
        if value:
            rows = table(items)
            rows[:, _KIND_AT] = kind
            rows[:, _BYTE_AT] = np.frombuffer(value, np.uint8)
        slot.of.list = items
        slot.kind = ffi.WASMTIME_COMPONENT_LIST

    def lift(slot: Any) -> bytes:
        items = slot.of.list
        return table(items)[:, _BYTE_AT].tobytes() if items.size else b""

    return Converter(lower, lift)


def _new_list(size: int) -> Any:
    """Returns a list of this size whose slots are empty."""
    items = ffi.wasmtime_component_vallist_t()
    ffi.wasmtime_component_vallist_new_uninit(ctypes.byref(items), size)
    if size:
        ctypes.memset(items.data, 0, size * _SIZE)
    return items


def _list(element: Converter) -> Converter:
    def lower(store: Any, values: list[Any], slot: Any) -> None:
        slot.of.list = _new_list(len(values))
        slot.kind = ffi.WASMTIME_COMPONENT_LIST
        for place, value in enumerate(values):
            element.lower(store, value, slot.of.list.data[place])

    def lift(slot: Any) -> list[Any]:
        items = slot.of.list
        return [element.lift(items.data[place]) for place in range(items.size)]

    return Converter(lower, lift)


def _tuple(elements: list[Converter]) -> Converter:
    def lower(store: Any, values: tuple[Any, ...], slot: Any) -> None:
        items = ffi.wasmtime_component_valtuple_t()
        ffi.wasmtime_component_valtuple_new_uninit(ctypes.byref(items), len(elements))
        ctypes.memset(items.data, 0, len(elements) * _SIZE)
        slot.of.tuple = items
        slot.kind = ffi.WASMTIME_COMPONENT_TUPLE
        for place, (element, value) in enumerate(zip(elements, values, strict=True)):
            element.lower(store, value, slot.of.tuple.data[place])

    def lift(slot: Any) -> tuple[Any, ...]:
        items = slot.of.tuple
        return tuple(element.lift(items.data[place]) for place, element in enumerate(elements))

    return Converter(lower, lift)


def _record(fields: list[tuple[str, Converter]]) -> Converter:
    def lower(store: Any, value: dict[str, Any], slot: Any) -> None:
        items = ffi.wasmtime_component_valrecord_t()
        ffi.wasmtime_component_valrecord_new_uninit(ctypes.byref(items), len(fields))
        entry = type(items.data.contents)
        ctypes.memset(items.data, 0, len(fields) * ctypes.sizeof(entry))
        slot.of.record = items
        slot.kind = ffi.WASMTIME_COMPONENT_RECORD
        for place, (name, field) in enumerate(fields):
            slot.of.record.data[place].name = ffi.str_to_capi(name)
            field.lower(store, value[name], slot.of.record.data[place].val)

    def lift(slot: Any) -> dict[str, Any]:
        items = slot.of.record
        return {name: field.lift(items.data[place].val) for place, (name, field) in enumerate(fields)}

    return Converter(lower, lift)


def _payload(of: wit.ValType | None) -> Converter | None:
    return None if of is None else converter(of)


def _lower_payload(payload: Converter | None, store: Any, value: Any) -> Any:
    """Returns a pointer to a new value, or a null pointer where a case has none."""
    if payload is None:
        return None
    slot = _VALUE()
    try:
        payload.lower(store, value, slot)
    except BaseException:
        ffi.wasmtime_component_val_delete(ctypes.byref(slot))
        raise
    return ffi.wasmtime_component_val_new(ctypes.byref(slot))


def _variant(cases: dict[str, Converter | None]) -> Converter:
    def lower(store: Any, value: tuple[str, Any], slot: Any) -> None:
        case, payload = value
        lowered = _lower_payload(cases[case], store, payload)
        slot.of.variant.discriminant = ffi.str_to_capi(case)
        slot.of.variant.val = lowered
        slot.kind = ffi.WASMTIME_COMPONENT_VARIANT

    def lift(slot: Any) -> tuple[str, Any]:
        case = ffi.to_str(slot.of.variant.discriminant)
        payload = cases[case]
        return case, None if payload is None else payload.lift(slot.of.variant.val.contents)

    return Converter(lower, lift)


def _option(payload: Converter | None) -> Converter:
    def lower(store: Any, value: Any, slot: Any) -> None:
        slot.of.option = None if value is None else _lower_payload(payload, store, value)
        slot.kind = ffi.WASMTIME_COMPONENT_OPTION

    def lift(slot: Any) -> Any:
        if not slot.of.option or payload is None:
            return None
        return payload.lift(slot.of.option.contents)

    return Converter(lower, lift)


def _result(ok: Converter | None, err: Converter | None) -> Converter:
    def lower(store: Any, value: tuple[str, Any], slot: Any) -> None:
        case, payload = value
        lowered = _lower_payload(ok if case == "ok" else err, store, payload)
        slot.of.result.is_ok = case == "ok"
        slot.of.result.val = lowered
        slot.kind = ffi.WASMTIME_COMPONENT_RESULT

    def lift(slot: Any) -> tuple[str, Any]:
        result = slot.of.result
        payload = ok if result.is_ok else err
        lifted = payload.lift(result.val.contents) if payload is not None and result.val else None
        return ("ok" if result.is_ok else "err"), lifted

    return Converter(lower, lift)


def _resource(is_owned: bool) -> Converter:
    def lower(store: Any, value: Any, slot: Any) -> None:
        if isinstance(value, wit.ResourceHost):
            pointer = value.to_any(store)._consume()
        elif is_owned:
            pointer = value._consume()
        else:
            pointer = ffi.wasmtime_component_resource_any_clone(value.ptr())
        slot.of.resource = pointer
        slot.kind = ffi.WASMTIME_COMPONENT_RESOURCE

    def lift(slot: Any) -> wit.ResourceAny:
        return wit.ResourceAny._from_ptr(ffi.wasmtime_component_resource_any_clone(slot.of.resource))

    return Converter(lower, lift)


class Function:
    """An export of an instance."""

    def __init__(self, store: Store, function: wit.Func) -> None:
        of = function.type(store)
        self._store = store
        self._function = function
        self._parameters = [converter(parameter) for _, parameter in of.params]
        self._result = converter(of.result)
        self._has_result = of.result is not None

    def __call__(self, *arguments: Any) -> Any:
        """Calls the export.

        Raises `wasmtime.WasmtimeError`, or its subclass `Trap`, if the call does not return.
        """
        count = len(self._parameters)
        slots = (_VALUE * max(count, 1))()
        result = _VALUE()
        try:
            for parameter, argument, slot in zip(self._parameters, arguments, slots, strict=False):
                parameter.lower(self._store, argument, slot)
            error = ffi.wasmtime_component_func_call(
                ctypes.byref(self._function._func),
                self._store._context(),
                slots,
                count,
                ctypes.byref(result),
                int(self._has_result),
            )
            if error:
                raise ffi_error(error)
            return self._result.lift(result)
        finally:
            for slot in slots:
                ffi.wasmtime_component_val_delete(ctypes.byref(slot))
            ffi.wasmtime_component_val_delete(ctypes.byref(result))


def ffi_error(error: Any) -> Exception:
    """Takes an error of the C interface."""
    from wasmtime import WasmtimeError

    taken: Exception = WasmtimeError._from_ptr(error)
    return taken


def _returned(store: Any, value: Any) -> Any:
    """Gives borrowed resources back, as the engine wants before a call ends."""
    if isinstance(value, wit.ResourceAny) and not value.owned:
        return value.to_host(store).rep
    return [_returned(store, item) for item in value] if isinstance(value, list) else value


_NO_FINALIZER: Any = ctypes.CFUNCTYPE(None, ctypes.c_void_p)()


def define(
    instance: wit.LinkerInstance,
    name: str,
    of: wit.FuncType,
    answer: Callable[..., Any],
    failed: Callable[[BaseException], None],
) -> Any:
    """Defines a function that components may import.

    `answer` gets the store and the arguments; for a borrowed resource, its number in the host. What
    it raises ends the call of the component, and `failed` is told. Returns an object that has to live as long as the linker and its instances.
    """
    parameters = [converter(parameter) for _, parameter in of.params]
    result = converter(of.result)

    def call(_: Any, context: Any, __: Any, arguments: Any, ___: int, results: Any, has_result: int) -> int:
        from wasmtime import StoreContext

        store = StoreContext(context)
        try:
            lifted = [_returned(store, parameter.lift(arguments[place])) for place, parameter in enumerate(parameters)]
            answered = answer(store, *lifted)
            if has_result:
                result.lower(store, answered, results[0])
            return 0
        except BaseException as error:
            failed(error)
            message = ctypes.create_string_buffer(type(error).__name__.encode())
            return ctypes.cast(ffi.wasmtime_error_new(message), ctypes.c_void_p).value or 0
        finally:
            store._invalidate()

    callback = ffi.wasmtime_component_func_callback_t(call)
    text = name.encode()
    error = ffi.wasmtime_component_linker_instance_add_func(
        instance.ptr(), ctypes.create_string_buffer(text), len(text), callback, None, _NO_FINALIZER
    )
    if error:
        raise ffi_error(error)
    return callback
