"""Sign documents with the deployment's own key and check signatures: Ed25519 over canonical JSON.

The first signature creates the key. The key stays in the state folder, and only its owner can read it. The public key
is stored beside it and in every signature. It can check signatures but not sign. Checking does not create a key.
"""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.settings import Settings

KEY, PUBLIC = "signing.pem", "signing.pub"
SIGNATURE = "signature"
RAW = serialization.Encoding.Raw, serialization.PublicFormat.Raw


def sign(settings: Settings, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with its signature."""
    key = _key(settings)
    public = key.public_key().public_bytes(*RAW).hex()
    signature = base64.b64encode(key.sign(_canonical(document))).decode()
    return {**document, SIGNATURE: {"algorithm": "Ed25519", "public_key": public, "value": signature}}


def check_signature(settings: Settings, document: Mapping[str, Any]) -> None:
    """Check that this deployment signed a document in its present form.

    Raises:
        StillhouseError: the document has no signature, was signed by another deployment, or was altered since.
    """
    ours = public_key(settings)
    if ours is None or _read_signature(document).get("public_key") != ours:
        whose = f"its key is {ours[:16]}..." if ours else "it has no key yet"
        msg = (
            f"the provenance record was not signed by this deployment ({whose}); fetch it from where it was made, or, "
            "if this deployment lost its key, restore the key or sign the version anew with `stillhouse resign`"
        )
        raise StillhouseError(msg)
    check_unaltered(document)


def check_unaltered(document: Mapping[str, Any]) -> None:
    """Check that a document is unaltered since it was signed, with the key that its signature names.

    Raises:
        StillhouseError: the document has no signature, or was altered since.
    """
    given = _read_signature(document)
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(given["public_key"]))
        key.verify(base64.b64decode(given["value"]), _canonical(drop_signature(document)))
    except (InvalidSignature, KeyError, TypeError, ValueError) as error:
        msg = "the provenance record was altered after it was signed; register the model again"
        raise StillhouseError(msg) from error


def drop_signature(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the signed part of a document."""
    return {name: value for name, value in document.items() if name != SIGNATURE}


def public_key(settings: Settings) -> str | None:
    """Return this deployment's public key in hexadecimal, or `None` if it has no key."""
    path = settings.state / "keys" / KEY
    return _key(settings).public_key().public_bytes(*RAW).hex() if path.exists() else None


def _read_signature(document: Mapping[str, Any]) -> Mapping[str, Any]:
    given = document.get(SIGNATURE)
    return given if isinstance(given, Mapping) else {}


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _key(settings: Settings) -> Ed25519PrivateKey:
    path = settings.state / "keys" / KEY
    if not path.exists():
        _make_key(path)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise StillhouseError(_unusable(path, "cannot be read")) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise StillhouseError(_unusable(path, "is no Ed25519 key"))
    return key


def _unusable(path: Path, what: str) -> str:
    return f"the signing key {path} {what}; restore it from its copy, or move it away and a new one is made"


def _make_key(path: Path) -> None:
    """Write a new key that only its owner can read, then link it into place.

    If two are made at once, the first stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(key.private_bytes(*pem))
    try:
        os.link(aside, path)
        path.with_name(PUBLIC).write_text(key.public_key().public_bytes(*RAW).hex() + "\n", encoding="ascii")
    except FileExistsError:
        pass
    finally:
        aside.unlink()
