"""What names an endpoint, and which key may go there."""

from __future__ import annotations

import pytest

from filiation.errors import UsageError
from filiation.sources.endpoints.location import endpoint_at, is_location, key_of

OURS = "fk-of-our-own-server"
ENVIRONMENT = {
    "OPENAI_API_KEY": "sk-the-key-of-openai",
    "ANTHROPIC_API_KEY": "sk-ant-the-key-of-anthropic",
    "FILIATION_KEY_MODELS_EXAMPLE_ORG": OURS,
}


@pytest.mark.parametrize(
    ("text", "protocol", "model", "url"),
    [
        ("openai:gpt-x", "openai-chat", "gpt-x", "https://api.openai.com/v1"),
        ("openai:m@http://localhost:8000/v1/", "openai-chat", "m", "http://localhost:8000/v1"),
        ("openai:org/name@main@HTTP://Host:1/v1", "openai-chat", "org/name@main", "http://host:1/v1"),
        ("openai:/a/folder@http://127.0.0.1:1/v1", "openai-chat", "/a/folder", "http://127.0.0.1:1/v1"),
        ("openai:llama3.2:1b@http://[::1]:11434/v1", "openai-chat", "llama3.2:1b", "http://[::1]:11434/v1"),
        ("openai-completions:m@https://h/v1", "openai-completions", "m", "https://h/v1"),
        ("anthropic:claude-x", "anthropic-messages", "claude-x", "https://api.anthropic.com"),
        ("anthropic:m@https://h", "anthropic-messages", "m", "https://h"),
    ],
)
def test_a_location_is_read_and_written_back(text: str, protocol: str, model: str, url: str) -> None:
    endpoint = endpoint_at(text)
    assert (endpoint.protocol, endpoint.model, endpoint.url) == (protocol, model, url)
    assert is_location(text)
    assert endpoint_at(endpoint.location) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "gpt-x",
        "openai:",
        "openai:@http://h",
        "openai:m@http://",
        "openai:m@http://h:port",
        "openai:m@http://a b",
        "folder/openai:m",
        "openai:m\n@http://h",
    ],
)
def test_what_is_no_location_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        endpoint_at(text)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:sk-hidden@h/v1",
        "https://sk-hidden@h/v1",
        "https://h/v1?api-key=sk-hidden",
        "https://h/v1#sk-hidden",
    ],
)
def test_keys_in_an_address_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="keys have no place") as told:
        endpoint_at(f"openai:m@{url}")
    assert "sk-hidden" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("openai:m", ENVIRONMENT["OPENAI_API_KEY"]),
        ("anthropic:m", ENVIRONMENT["ANTHROPIC_API_KEY"]),
        ("openai:m@https://models.example.org/v1", OURS),
        ("openai:m@https://models.example.org:8443/v1", OURS),
        ("anthropic:m@https://models.example.org", OURS),
        # A vendor's key goes to the vendor only, whatever the protocol and however alike the name.
        ("openai:m@https://elsewhere.example.org/v1", ""),
        ("openai:m@https://api.openai.com.example.org/v1", ""),
        ("openai:m@https://api.openai.com:8443/v1", ""),
        ("openai:m@http://api.openai.com/v1", ""),
        ("openai:m@http://localhost:8000/v1", ""),
        ("anthropic:m@https://elsewhere.example.org", ""),
    ],
)
def test_a_key_goes_only_where_it_belongs(text: str, key: str) -> None:
    assert key_of(endpoint_at(text), ENVIRONMENT) == key


def test_a_key_does_not_travel_unencrypted_except_nearby() -> None:
    with pytest.raises(UsageError, match="unencrypted"):
        key_of(endpoint_at("openai:m@http://models.example.org/v1"), ENVIRONMENT)
    for host in ("localhost:8000", "127.0.0.1:8000", "[::1]:8000", "192.168.1.5", "10.0.0.1"):
        endpoint = endpoint_at(f"openai:m@http://{host}/v1")
        assert key_of(endpoint, {endpoint.key_variables[-1]: OURS}) == OURS


@pytest.mark.parametrize("key", ["EMPTY", "none", "with a space", "schlüssel-schlüssel", "line\nbreak-key"])
def test_what_cannot_be_a_key_is_refused(key: str) -> None:
    """A word like EMPTY would be cut out of every answer that holds it."""
    with pytest.raises(UsageError, match="unset FILIATION_KEY_LOCALHOST"):
        key_of(endpoint_at("openai:m@http://localhost/v1"), {"FILIATION_KEY_LOCALHOST": key})
