"""Secret keys of 32 random bytes, each in a file of its own that only its owner may read."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from filiation.errors import SourceNotFound, UsageError

KEY_BYTES = 32


def commitment(key: bytes) -> str:
    """SHA-256 of a key, in hexadecimal. A key is random and long enough that this tells nothing of it."""
    return hashlib.sha256(key).hexdigest()


def check_key(key: bytes) -> None:
    """UsageError where a key is not of the one length that keys have."""
    if len(key) != KEY_BYTES:
        raise UsageError(f"the key has {len(key)} bytes, not {KEY_BYTES}", advice="give the file that 'commit' made")


def save_key(key: bytes, path: Path) -> None:
    """Write a new key as 64 hexadecimal digits, readable by its owner only; a file that is there stays as it is."""
    check_key(key)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already and is not replaced", advice="name another file") from error
    except OSError as error:
        raise UsageError(
            f"the key cannot be written to {path}: {error.strerror}", advice="name another folder"
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.hex().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def load_key(path: Path) -> bytes:
    """The key that `save_key` wrote. Raises SourceNotFound; UsageError where it is none, or where others may read it."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(1000).strip()
    except OSError as error:
        raise SourceNotFound(
            f"the key {path} cannot be read: {error.strerror}", advice="give the file that 'commit' made"
        ) from error
    if os.name == "posix" and mode & 0o077:
        raise UsageError(f"others may read the key {path}", advice=f"chmod 600 {path}, and ask who has read it")
    if len(text) != 2 * KEY_BYTES or not set(text) <= set(b"0123456789abcdef"):
        raise UsageError(f"{path} does not hold a key of {KEY_BYTES} bytes", advice="give the file that 'commit' made")
    return bytes.fromhex(text.decode())
