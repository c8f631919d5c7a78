"""Sign a document with the house's own key, and check a signature: Ed25519 over canonical JSON.

The key is made when it is first needed and stays in the state folder, readable by its owner alone. Whoever has only
its public half, which is beside it and in every signature, can check but not sign.
"""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tasks.errors import StillhouseError
from tasks.settings import Settings

KEY, PUBLIC = "signing.pem", "signing.pub"
RAW = serialization.Encoding.Raw, serialization.PublicFormat.Raw


def signed(settings: Settings, document: Mapping[str, Any]) -> dict[str, Any]:
    """Give a document with its signature."""
    key = _key(settings)
    public = key.public_key().public_bytes(*RAW).hex()
    signature = base64.b64encode(key.sign(_canonical(document))).decode()
    return {**document, "signature": {"algorithm": "Ed25519", "public_key": public, "value": signature}}


def check_signature(settings: Settings, document: Mapping[str, Any]) -> None:
    """Check that this house signed a document as it is now.

    Raises:
        StillhouseError: it has no signature, was signed by another house, or was altered since.
    """
    given = document.get("signature") or {}
    ours = _key(settings).public_key().public_bytes(*RAW).hex()
    if given.get("public_key") != ours:
        msg = f"the passport was not signed by this house (its key is {ours[:16]}...); fetch it from where it was made"
        raise StillhouseError(msg)
    content = {name: value for name, value in document.items() if name != "signature"}
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(ours)).verify(
            base64.b64decode(given["value"]), _canonical(content)
        )
    except (InvalidSignature, KeyError, ValueError) as error:
        msg = "the passport was altered after it was signed; register the model again"
        raise StillhouseError(msg) from error


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _key(settings: Settings) -> Ed25519PrivateKey:
    path = settings.state / "keys" / KEY
    if not path.exists():
        _make_key(path)
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        msg = f"{path} is no Ed25519 key; move it away and a new one is made"
        raise StillhouseError(msg)
    return key


def _make_key(path: Path) -> None:
    """Write a new key aside, for its owner alone, then link it into place: of two at once the first one stays."""
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
