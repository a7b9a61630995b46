"""Two zoos: a hurried one, with every member but hardly any training, for what is built how; and the real test zoo."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the zoo trains with torch: pip install 'filiation[models]'")
pytest.importorskip("transformers", reason="the zoo's models are transformers models: pip install 'filiation[models]'")

from studies.zoo import Zoo, build  # noqa: E402
from studies.zoo.sizes import TEST, Size  # noqa: E402

HURRIED = dataclasses.replace(
    TEST, name="hurried", steps=3, brief_steps=2, repair_steps=2, laundered_steps=2, batch=8, context=32, new_tokens=5
)
ONE_OF_EACH = (
    "lora",
    "int4",
    "pruned-half",
    "depth-pruned",
    "width-pruned",
    "merge-30",
    "stitched",
    "vocabulary-extended",
    "noise-2",
    "neurons-split",
    "embeddings-anew",
    "mlps-anew",
    "laundered-tuned",
    "qwen2-laundered-tuned",
    "gpt2-int4",
    "student-logits",
    "student-hidden",
    "sibling",
    "same-order",
    "shared-embeddings",
    "padded-b",
)


@pytest.fixture(scope="session")
def hurried_size() -> Size:
    return HURRIED


@pytest.fixture(scope="session")
def hurried_zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """One member of each method."""
    return build(HURRIED, only=ONE_OF_EACH, device="cpu", out=tmp_path_factory.mktemp("hurried"))


@pytest.fixture(scope="session")
def trained_zoo() -> Zoo:
    """One trained founder of each family, from the cache where they are there."""
    return build("test", only=["base-a", "base-other-shape", "qwen2-a", "gpt2-a"], device="cpu")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "out"
