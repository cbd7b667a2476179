"""The files of a version, verified before anything of them is used.

The folder has `manifest.json`, the registry's description of the version, and the objects that the
manifest lists, named by the SHA-256 of their bytes. The digest of the manifest comes with the
`MLmodel` file. So every byte is compared with what the registry says, wherever the files were kept
in between.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._schema import Field, Task
from .errors import ModelError, shown

_FORMAT = 1
# Of the contents of a version (docs/formats/home.md).
_CONTENTS_FORMATS = (1, 2, 3)
_MOST_MANIFEST = 16 << 20
_MOST_OBJECT = 4 << 30
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class ComponentOf:
    """A component of a version, with the state that it loads."""

    name: str
    wasm: bytes
    state: bytes
    stubs: tuple[str, ...]


@dataclass(frozen=True)
class Version:
    """A version of a model: what predictions need."""

    model: str
    version: int
    features: tuple[Field, ...]
    null_values: tuple[str, ...]
    task: Task
    seed: int
    as_of: int
    transformation: ComponentOf
    training: ComponentOf


def read(folder: Path, manifest: str | None) -> Version:
    """Reads a version and verifies its files.

    `manifest` is the digest of the manifest, if it is known.

    Raises `ModelError`.
    """
    text = _bytes_of(folder / "manifest.json", _MOST_MANIFEST)
    if manifest is not None:
        _compare("manifest.json", text, manifest)
    try:
        described = json.loads(text)
        objects = {str(listed["role"]): listed for listed in described["objects"]}
        contents = described["contents"]
        if described["format"] != _FORMAT or contents["format"] not in _CONTENTS_FORMATS:
            raise ModelError(
                "the model has a format that this package does not read\n"
                "hint: install the one of a newer clone of the repository: pip install clients/python"
            )
        return _version(folder, described, contents, objects)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"manifest.json does not describe a version: {shown(error)}") from None


def _version(folder: Path, described: Any, contents: Any, objects: dict[str, Any]) -> Version:
    def component(place: str, state: str) -> ComponentOf:
        record, role = contents[place], f"{place}-component"
        for of, digest in ((role, record["digest"]), (state, contents["state" if place == "transformation" else "model"])):
            if objects[of]["digest"] != digest:
                raise ModelError(f"manifest.json lists another object for {shown(of)} than the version has")
        name, stubs = str(record["name"]), tuple(str(stub) for stub in record["stubs"])
        return ComponentOf(name, _object(folder, objects[role]), _object(folder, objects[state]), stubs)

    signature = contents["signature"]
    return Version(
        model=str(described["model"]),
        version=int(described["version"]),
        features=tuple(Field.read(field) for field in signature["fields"] if field["role"] == "feature"),
        null_values=tuple(str(text) for text in signature["null-values"]),
        task=Task.read(contents["task"]),
        seed=int(contents["seed"]),
        as_of=int(contents["as_of"]),
        transformation=component("transformation", "transformation-state"),
        training=component("training", "model"),
    )


def _object(folder: Path, listed: Any) -> bytes:
    digest = str(listed["digest"])
    found = _DIGEST.fullmatch(digest)
    if not found:
        raise ModelError(f"manifest.json lists {shown(digest)}, which is no digest")
    path = folder / "objects" / found[1]
    contents = _bytes_of(path, _MOST_OBJECT)
    _compare(f"objects/{found[1]}", contents, digest)
    return contents


def _bytes_of(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            contents = file.read(most + 1)
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {error.strerror}\nhint: load the model again; its files are incomplete"
        ) from None
    if len(contents) > most:
        raise ModelError(f"{path} has more than {most} bytes")
    return contents


def _compare(name: str, contents: bytes, digest: str) -> None:
    actual = "sha256:" + hashlib.sha256(contents).hexdigest()
    if actual != digest:
        raise ModelError(
            f"{name} has the digest {actual}, and the registry has {shown(digest)}: nothing of it is used\n"
            "hint: load the model again; if that does not help, `stagewright doctor` looks at the registry"
        )
