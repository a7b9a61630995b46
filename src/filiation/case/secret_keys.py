"""Files that only their owner may read, and the secret keys of 32 random bytes that stand in such files of their own."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from filiation.case.files import synchronise_folder
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
    write_secret(path, key.hex().encode() + b"\n")


def write_secret(path: Path, data: bytes) -> None:
    """Write a new file that nobody but its owner may read at any time, on the disk when this returns.

    Raises UsageError where one is there, which stays as it is, and where it cannot be written whole: then none is there.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    except FileExistsError as error:
        raise UsageError(
            f"{path} is there already and is not replaced by a new key",
            advice="name another file; a key that is lost cannot be made again",
        ) from error
    except OSError as error:
        raise _not_written(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        synchronise_folder(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)  # half a key would stand in the way of a whole one
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"the key cannot be written to {path}: {error.strerror}",
        advice="name a folder that you may write to and that has room",
    )


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
