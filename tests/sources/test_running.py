"""Models that run. Truth: the logits that transformers itself gives for one text alone, and files spoilt on purpose."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

torch = pytest.importorskip("torch", reason="models are run with torch: pip install 'filiation[models]'")
pytest.importorskip("transformers", reason="models are run with transformers: pip install 'filiation[models]'")

from filiation.errors import FiliationError, MalformedSource, UnsafeSource, UsageError  # noqa: E402
from filiation.sources.running import RunningModel, load_model  # noqa: E402
from studies.zoo import Zoo  # noqa: E402
from studies.zoo.folders import read_folder  # noqa: E402
from studies.zoo.repackaging import rename_prefix  # noqa: E402

TEXTS = ("def load(self, value):\n    return", "class A", "import os\n")


@pytest.fixture(scope="module")
def model(zoo: Zoo) -> RunningModel:
    return load_model(zoo["base-a"])


@pytest.fixture(scope="module")
def by_hand(zoo: Zoo, model: RunningModel) -> list[np.ndarray]:
    """Log-probabilities at every position, one text at a time, straight from transformers."""
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(zoo["base-a"], dtype=torch.float32).eval()
    with torch.no_grad():
        logits = [network(input_ids=torch.as_tensor(model.tokenise(text))[None]).logits[0] for text in TEXTS]
    return [torch.log_softmax(rows.double(), -1).numpy() for rows in logits]


@pytest.mark.parametrize("family", ["base-a", "qwen2-a", "gpt2-a", "base-other-shape"])
def test_every_family_says_its_shape_and_gives_distributions(zoo: Zoo, family: str) -> None:
    model = load_model(zoo[family])
    config = json.loads((zoo[family] / "config.json").read_text())
    assert model.vocabulary_size == config["vocab_size"]
    assert model.hidden_size == config.get("hidden_size", config.get("n_embd"))
    following = model.next_token_log_probabilities(TEXTS)
    assert following.values.shape == (3, config["vocab_size"])
    assert np.exp(following.values).sum(axis=1) == pytest.approx(1.0, abs=1e-9)


def test_texts_run_together_say_what_each_says_alone(model: RunningModel, by_hand: list[np.ndarray]) -> None:
    following = model.next_token_log_probabilities(TEXTS)
    assert np.allclose(following.values, np.stack([rows[-1] for rows in by_hand]), atol=1e-4)
    every = model.next_token_log_probabilities(TEXTS, every_position=True)
    assert np.allclose(every.values, np.concatenate(by_hand), atol=1e-4)


def test_the_likeliest_tokens_are_the_likeliest_first(model: RunningModel, by_hand: list[np.ndarray]) -> None:
    best = model.next_token_log_probabilities(TEXTS, top=5)
    for ids, values, rows in zip(best.ids, best.values, by_hand, strict=True):
        assert np.allclose(values, np.sort(rows[-1])[::-1][:5], atol=1e-4)
        assert np.allclose(values, rows[-1][ids], atol=1e-4)


def test_log_likelihoods_are_those_of_the_tokens_said(model: RunningModel, by_hand: list[np.ndarray]) -> None:
    for text, found, rows in zip(TEXTS, model.log_likelihoods(TEXTS), by_hand, strict=True):
        tokens = model.tokenise(text)
        assert np.allclose(found, rows[np.arange(len(tokens) - 1), tokens[1:]], atol=1e-4)


def test_the_last_hidden_state_gives_the_logits(zoo: Zoo, model: RunningModel, by_hand: list[np.ndarray]) -> None:
    """Truth: the output layer is linear, so its matrix times the last state is the logits, up to a constant."""
    states = model.hidden_states(TEXTS, [0, model.layers])
    unembedding = read_folder(zoo["base-a"])[0]["lm_head.weight"]
    for state, rows in zip(states, by_hand, strict=True):
        apart = state[1] @ unembedding.T - rows
        assert np.abs(apart - apart.mean(axis=1, keepdims=True)).max() < 1e-3


def test_the_first_hidden_state_is_the_embedding(zoo: Zoo, model: RunningModel) -> None:
    embedding = read_folder(zoo["base-a"])[0]["model.embed_tokens.weight"]
    state = model.hidden_states(TEXTS[:1], [0])[0][0]
    assert np.allclose(state, embedding[model.tokenise(TEXTS[0])])


def test_greedy_answers_follow_the_likeliest_token(model: RunningModel) -> None:
    answer = model.generate(TEXTS[:1], tokens=4)[0]
    tokens = list(model.tokenise(TEXTS[0]))
    for said in answer:
        assert model.next_token_log_probabilities([tokens], top=1).ids[0, 0] == said
        tokens.append(int(said))


def test_sampled_answers_follow_the_seed_alone(model: RunningModel) -> None:
    one, again, other = (model.generate(TEXTS, tokens=12, temperature=1.0, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_text_model_inside_a_larger_one_says_the_same(model: RunningModel, zoo: Zoo, tmp_path: Path) -> None:
    """Truth: the same numbers under longer names."""
    renamed = load_model(rename_prefix(zoo["base-a"], tmp_path / "renamed"))
    one, other = (each.next_token_log_probabilities(TEXTS).values for each in (model, renamed))
    assert np.array_equal(one, other)


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": 1}))


def _code_of_its_own(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "unheard-of", "auto_map": {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n")


def _without_a_tensor(folder: Path) -> None:
    weights, _ = read_folder(folder)
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


REFUSED = {
    "a pickle": (_pickled, UnsafeSource),
    "code of its own": (_code_of_its_own, UnsafeSource),
    "a tensor missing": (_without_a_tensor, MalformedSource),
    "no weights": (_without_weights, UsageError),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_run_safely_is_refused(case: str, zoo: Zoo, tmp_path: Path) -> None:
    spoil, error = REFUSED[case]
    folder = tmp_path / "model"
    shutil.copytree(zoo["base-a"], folder)
    spoil(folder)
    with pytest.raises(error):
        load_model(folder)
    assert not (folder / "ran").exists()


def test_requests_that_make_no_sense_are_refused(model: RunningModel, zoo: Zoo) -> None:
    for ask in (
        lambda: model.hidden_states(TEXTS, [99]),
        lambda: model.log_likelihoods([""]),
        lambda: model.log_likelihoods([[0, 10_000]]),
        lambda: load_model(zoo["base-a"], dtype="int3"),
    ):
        with pytest.raises(FiliationError):
            ask()
