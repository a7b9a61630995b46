"""`openai:MODEL@URL`, `openai-completions:MODEL@URL`, `anthropic:MODEL[@URL]` as an `Endpoint`, and the key that belongs to it.

Keys come from the environment and from nowhere else. A vendor's key is sent to that vendor only: an address of somebody else,
however compatible, gets the key named after its host or none.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from filiation.errors import UsageError
from filiation.evidence import Record

SCHEMES = {
    "openai": ("openai-chat", "https://api.openai.com/v1"),
    "openai-completions": ("openai-completions", "https://api.openai.com/v1"),
    "anthropic": ("anthropic-messages", "https://api.anthropic.com"),
}
VENDOR_KEYS = {"api.openai.com": "OPENAI_API_KEY", "api.anthropic.com": "ANTHROPIC_API_KEY"}
SHORTEST_KEY = 8
FORM = "openai:MODEL@URL, openai-completions:MODEL@URL or anthropic:MODEL[@URL]"


class Endpoint(Record, frozen=True, kw_only=True):
    """A model at an address. `url` is the base, without a slash at the end, and holds no key."""

    protocol: str  # 'openai-chat', 'openai-completions' or 'anthropic-messages'
    model: str
    url: str

    @property
    def host(self) -> str:
        """Host and, where one is given, port."""
        return urlsplit(self.url).netloc

    @property
    def location(self) -> str:
        """What `endpoint_at` reads as this endpoint, with the address written out."""
        scheme = next(scheme for scheme, (protocol, _) in SCHEMES.items() if protocol == self.protocol)
        return f"{scheme}:{self.model}@{self.url}"

    @property
    def nearby(self) -> bool:
        """Whether the address is this machine, or a number of a private network."""
        return _nearby(urlsplit(self.url).hostname or "")

    @property
    def key_variables(self) -> tuple[str, ...]:
        """The environment variables that may hold its key, the one that is read first in front."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        names = [f"FILIATION_KEY_{_as_variable(parts.netloc)}", f"FILIATION_KEY_{_as_variable(host)}"]
        if parts.scheme == "https" and parts.port in (None, 443) and host in VENDOR_KEYS:
            names.append(VENDOR_KEYS[host])
        return tuple(dict.fromkeys(names))


def is_location(text: str) -> bool:
    """Whether a text claims to be the location of an endpoint."""
    return text.partition(":")[0] in SCHEMES and ":" in text


def endpoint_at(location: str) -> Endpoint:
    """The endpoint that a location names. Raises UsageError on anything else, and on keys inside the address."""
    scheme, _, rest = location.partition(":")
    if scheme not in SCHEMES:
        raise UsageError("this is no endpoint", exhibit=_shown(location), advice=f"give {FORM}")
    protocol, default = SCHEMES[scheme]
    # A model's name may itself hold '@' (a revision) and '/' (a folder): only '@http' starts the address.
    found = re.search(r"@(?=https?://)", rest, re.IGNORECASE)
    model, url = (rest[: found.start()], rest[found.end() :]) if found else (rest, default)
    if not model or any(ord(letter) < 32 for letter in location):
        raise UsageError("no model is named", exhibit=_shown(location), advice=f"give {FORM}")
    return Endpoint(protocol=protocol, model=model, url=_checked(url, location))


def key_of(endpoint: Endpoint, environment: Mapping[str, str] = os.environ) -> str:
    """The key for an endpoint from the environment, or '' where there is none.

    Raises UsageError on what cannot be a key, and where a key would travel unencrypted to another machine's public address.
    """
    for name in endpoint.key_variables:
        key = environment.get(name, "").strip()
        if not key:
            continue
        if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
            raise UsageError(
                f"what {name} holds cannot be a key: fewer than {SHORTEST_KEY} characters, or others than visible ASCII",
                exhibit=endpoint.location,
                advice=f"unset {name} if the server asks for no key",
            )
        if urlsplit(endpoint.url).scheme != "https" and not endpoint.nearby:
            raise UsageError(
                f"the key in {name} would be sent unencrypted",
                exhibit=endpoint.location,
                advice="give an address that starts with https://, or reach the server through a tunnel on localhost",
            )
        return key
    return ""


def _checked(url: str, location: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"this is no address: {error}", exhibit=_shown(location), advice=f"give {FORM}") from error
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment or "@" in parts.netloc:
        raise UsageError(
            "the address holds a user, a password, a query or a fragment: keys have no place in an address",
            exhibit=_shown(location),
            advice="put the key into the environment; see docs/endpoints.md",
        )
    if not host or re.search(r"[\s\\]", url):
        raise UsageError("the address names no host", exhibit=_shown(location), advice=f"give {FORM}")
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def _shown(location: str) -> str:
    """The location for an error message: whatever may be a key in it is left out."""
    return re.sub(r"//[^/@]*@", "//...@", re.sub(r"[?#].*", "?...", location))[:200]


def _as_variable(host: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", host.upper())


def _nearby(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False
