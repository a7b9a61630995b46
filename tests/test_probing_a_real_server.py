"""`filiation probe` against a real server: `transformers serve` with members of the zoo, and their answers loaded from file."""

from __future__ import annotations

from pathlib import Path

import pytest

from filiation.evidence import Finding
from filiation.probing import DECIDED, EXHAUSTED, Probed, probe
from filiation.sources.endpoints.asking import Conduct
from filiation.sources.endpoints.exchange import Parameters, Question
from studies.service_recordings import CODE_PROMPTS, Way, folder_model, recorded
from studies.serving import missing, prepared, served
from studies.zoo import Zoo

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("served"),
    pytest.mark.skipif(bool(missing()), reason=f"`transformers serve` needs {', '.join(missing())}"),
]
PROMPTS, TOKENS = CODE_PROMPTS[:40], 24


@pytest.fixture(scope="module")
def reference(zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> str:
    """qwen2-b run from its file: forty answers at temperature 0, as a transcript with log-probabilities."""
    file = tmp_path_factory.mktemp("reference") / "qwen2-b.parquet"
    model = folder_model("qwen2-b", "qwen2-b", zoo["qwen2-b"], chat=False)
    recorded(model, Way("together", batch=20), temperature=0, samples=1, tokens=TOKENS, prompts=PROMPTS).write_parquet(
        file
    )
    return f"transcripts:{file}"


def probed(reference: str, folder: Path, place: Path) -> Probed:
    """The folder's model served, and asked whether it is the reference."""
    with served(prepared(folder, place / "served" / folder.name)) as server:
        return probe(
            reference,
            server.completions,
            [],
            [Question(prompt=prompt) for prompt in PROMPTS],
            place / "probe",
            each=10,
            only=("service",),
            parameters=Parameters(temperature=0.0, max_tokens=TOKENS),
            conduct=Conduct(concurrency=1),
        )


def test_a_model_served_is_not_told_apart_from_itself_loaded_from_file(
    reference: str, zoo: Zoo, tmp_path: Path
) -> None:
    found = probed(reference, zoo["qwen2-b"], tmp_path)
    assert (found.account.stopped, found.account.requests) == (EXHAUSTED, len(PROMPTS))
    seen = {outcome.test: outcome for outcome in found.examination.outcomes if isinstance(outcome, Finding)}
    assert set(seen) == {"service.answers", "service.margins"}
    assert seen["service.answers"].log10_p == seen["service.margins"].log10_p == 0.0


def test_another_model_in_its_place_is_told_apart_before_all_is_asked(reference: str, zoo: Zoo, tmp_path: Path) -> None:
    found = probed(reference, zoo["gpt2-a"], tmp_path)
    assert found.account.stopped == DECIDED
    assert found.account.requests < len(PROMPTS)
    assert found.account.why.startswith("service.")
