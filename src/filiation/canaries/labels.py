"""Which option of a canary is the labelled one: a keyed hash, and the keys that it needs.

1. The owner's key K has 32 random bytes and lies in a file of its own, readable by its owner only.
2. Keys of batches, salts and the assignment of accounts are drawn from it by HKDF-SHA256 (RFC 5869; no salt, one block of 32 bytes), so
   that a batch can be opened and the others stay shut.
3. The message is the canonical JSON (RFC 8785) of the list
   ["filiation canary label", 1, beacon, cohort, index, prompt, options]: beacon is the randomness in hexadecimal, prompt the SHA-256 of the
   UTF-8 of the prompt that is asked, options that of the canonical JSON of the list of options. A list in canonical JSON has one reading,
   so no two messages are written alike.
4. The label is HMAC-SHA256(key of the batch, message), read as a big-endian number, modulo M. M is a power of two and the hash has 256
   bits, so that every option is equally likely.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from filiation.canaries.canary import Canary
from filiation.errors import SourceNotFound, UsageError
from filiation.evidence import canonical

KEY_BYTES = 32
DOMAIN = "filiation canary label"
VERSION = 1


def label(key: bytes, beacon: bytes, cohort: int, canary: Canary) -> int:
    """The number of the labelled option. `key`: that of the canary's batch; `beacon`: the verified randomness."""
    return label_of(key, message(beacon, cohort, canary), len(canary.options))


def label_of(key: bytes, encoded: bytes, options: int) -> int:
    return int.from_bytes(hmac.digest(key, encoded, "sha256"), "big") % options


def message(beacon: bytes, cohort: int, canary: Canary) -> bytes:
    """What is hashed: canonical JSON, written out by hand because its strings are hexadecimal and its numbers whole."""
    return b"".join(message_parts(beacon, canary, str(cohort).encode()))


def message_parts(beacon: bytes, canary: Canary, cohort: bytes) -> tuple[bytes, bytes, bytes]:
    """The message before, in, and after the cohort: scoring many cohorts hashes prompt and options once."""
    prompt = hashlib.sha256(canary.prompt.encode()).hexdigest()
    options = hashlib.sha256(canonical(list(canary.options))).hexdigest()
    before = f'["{DOMAIN}",{VERSION},"{beacon.hex()}",'.encode()
    return before, cohort, f',{canary.index},"{prompt}","{options}"]'.encode()


def labels(key: bytes, beacon: bytes, cohort: int, canaries: Sequence[Canary]) -> tuple[int, ...]:
    """The labels of canaries of one batch in one cohort."""
    return tuple(label(key, beacon, cohort, canary) for canary in canaries)


# ------------------------------------------------------------------------------------------------------------------ keys


def derived(key: bytes, purpose: str, number: int = 0) -> bytes:
    """32 bytes for a purpose from the key K: HKDF-SHA256, info = 'filiation canary PURPOSE' and the number in 8 bytes."""
    if len(key) != KEY_BYTES:
        raise UsageError(
            f"the key has {len(key)} bytes, not {KEY_BYTES}", advice="make one with 'filiation canary commit'"
        )
    pseudo_random_key = hmac.digest(bytes(32), key, "sha256")
    info = f"filiation canary {purpose}".encode() + b"\x00" + number.to_bytes(8, "big")
    return hmac.digest(pseudo_random_key, info + b"\x01", "sha256")


def batch_key(key: bytes, batch: int) -> bytes:
    return derived(key, "batch", batch)


def salt(key: bytes, leaf: int) -> bytes:
    """The salt of a leaf; known only of leaves that were opened, so that nobody can guess what the others hold."""
    return derived(key, "salt", leaf)


def commitment(key: bytes) -> str:
    """SHA-256 of a key, in hexadecimal. A key is random and long enough that this tells nothing of it."""
    return hashlib.sha256(key).hexdigest()


def save_key(key: bytes, path: Path) -> None:
    """Write a new key as 64 hexadecimal digits, readable by its owner only; a file that is there stays as it is."""
    derived(key, "check")
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
