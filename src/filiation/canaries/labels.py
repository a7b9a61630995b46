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
from collections.abc import Sequence

from filiation.canaries.canary import Canary
from filiation.case.secret_keys import KEY_BYTES as KEY_BYTES
from filiation.case.secret_keys import check_key
from filiation.case.secret_keys import commitment as commitment
from filiation.case.secret_keys import load_key as load_key
from filiation.case.secret_keys import save_key as save_key
from filiation.evidence import canonical

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
    check_key(key)
    pseudo_random_key = hmac.digest(bytes(32), key, "sha256")
    info = f"filiation canary {purpose}".encode() + b"\x00" + number.to_bytes(8, "big")
    return hmac.digest(pseudo_random_key, info + b"\x01", "sha256")


def batch_key(key: bytes, batch: int) -> bytes:
    return derived(key, "batch", batch)


def salt(key: bytes, leaf: int) -> bytes:
    """The salt of a leaf; known only of leaves that were opened, so that nobody can guess what the others hold."""
    return derived(key, "salt", leaf)
