"""Folders of versions for tests: the contract's empty components, or any others."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

COMPONENTS = Path(__file__).parents[3] / "tests/components/0.2.0"
TRANSFORMATION = COMPONENTS / "empty-transformation.wasm"
TRAINING = COMPONENTS / "empty-training.wasm"


def digest_of(contents: bytes) -> str:
    return "sha256:" + hashlib.sha256(contents).hexdigest()


def field(name: str, data_type: str, nullable: bool = False, role: str = "feature") -> dict[str, Any]:
    return {"name": name, "data_type": data_type, "nullable": nullable, "role": role}


def write(
    folder: Path,
    fields: list[dict[str, Any]],
    transformation: bytes | None = None,
    training: bytes | None = None,
    state: bytes = b"{}",
    model: bytes = b"{}",
    task: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    """Writes the files of a version as the server gives them. Returns the digest of the manifest."""
    transformation = TRANSFORMATION.read_bytes() if transformation is None else transformation
    training = TRAINING.read_bytes() if training is None else training
    parts = {
        "transformation-component": transformation,
        "transformation-state": state,
        "training-component": training,
        "model": model,
    }
    (folder / "objects").mkdir(parents=True, exist_ok=True)
    listed = []
    for role, contents in parts.items():
        digest = digest_of(contents)
        (folder / "objects" / digest.removeprefix("sha256:")).write_bytes(contents)
        listed.append({"role": role, "digest": digest, "size": len(contents), "media_type": "application/octet-stream"})
    component = {"stubs": [], "parameters": {}}
    contents_of = {
        "format": 3,
        "transformation": component | {"name": "transform", "digest": digest_of(transformation)},
        "state": digest_of(state),
        "training": component | {"name": "train", "digest": digest_of(training)},
        "model": digest_of(model),
        "task": task or {"kind": "binary", "negative": "No", "positive": "Yes"},
        "signature": {"fields": fields, "null-values": ["", "NA", "-9"], "extra-columns": "ignore"},
        "seed": 1,
        "as_of": 0,
    }
    manifest = {"format": 1, "model": "m", "version": 1, "contents": contents_of, "objects": listed} | changes
    text = json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(text)
    return digest_of(text)
