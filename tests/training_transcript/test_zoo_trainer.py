"""The zoo's own training as a transcript records it: the same weights bit by bit, and any stretch from its state alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the zoo trains with torch: pip install 'filiation[models]'")
pytest.importorskip("transformers", reason="the zoo's models are transformers models: pip install 'filiation[models]'")

from filiation.training_transcript.records import Plan  # noqa: E402
from filiation.training_transcript.states import digests, load  # noqa: E402
from filiation.training_transcript.verification import Given, verify  # noqa: E402
from studies.zoo.architectures import configuration, fresh  # noqa: E402
from studies.zoo.corpus import byte_tokens, read_corpus  # noqa: E402
from studies.zoo.recorded_training import ZooTrainer, log_likelihoods, plan_for, record  # noqa: E402
from studies.zoo.sizes import TEST  # noqa: E402
from studies.zoo.training import train  # noqa: E402
from tests.training_transcript.world import Clock, Owner, drawn  # noqa: E402

HURRIED = replace(TEST, batch=2, context=16)
TEXT = read_corpus().parts["one"][:6_000].encode("ascii", "ignore")


def planned(order: str = "windows", architecture: str = "llama") -> Plan:
    return plan_for(
        {"one": TEXT},
        size=HURRIED,
        architecture=architecture,
        seed=3,
        order_seed=5,
        order=order,
        steps=6,
        every=2,
    )


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt2"])
def test_stretches_from_states_alone_give_the_weights_of_the_zoos_training(architecture: str) -> None:
    by = ZooTrainer(planned(architecture=architecture), {"one": TEXT})
    state = by.initial()
    for first in (0, 2, 4):
        state = by.run({name: array.copy() for name, array in state.items()}, first, 2).state
    model = fresh(configuration(architecture, HURRIED), 3)
    tokens = torch.from_numpy(byte_tokens(TEXT.decode()))
    train(model, tokens, steps=6, batch=2, context=16, learning_rate=HURRIED.learning_rate, order_seed=5)
    for name, parameter in model.named_parameters():
        assert np.array_equal(state[f"weights/{name}"], parameter.detach().numpy()), name


def test_a_recorded_run_passes_and_its_model_is_the_last_state(tmp_path: Path) -> None:
    owner, clock = Owner.made(tmp_path / "authority"), Clock()
    folder = owner.opens(tmp_path / "run", planned(), clock)
    by = ZooTrainer(folder.plan, {"one": TEXT})
    last = record(folder, by, signer=owner.signer, clock=clock, stampers=[owner.authority])
    by.model(last).save_pretrained(tmp_path / "model")
    draw = drawn(folder, 2)
    result = verify(
        folder,
        Given(
            keyid=owner.signer.key.keyid,
            authorities=(owner.authority.certificate,),
            model=load(tmp_path / "model" / "model.safetensors"),
            trainer=ZooTrainer(folder.plan, {"one": TEXT}),
            drawn=draw,
            drawn_again=lambda: draw,
            state_at=lambda step: load(folder.state_file(step)),
        ),
    )
    assert result.passed, result.verification
    assert len(result.stamps) == 5


def test_documents_are_read_once_each_in_the_order_that_the_owner_keeps() -> None:
    by = ZooTrainer(planned("documents"), {"one": TEXT})
    read = torch.cat(list(by.batches()))
    order = by.document_order()
    assert len(set(order.tolist())) == len(order) == 12
    assert torch.equal(read, by.documents()[order])
    assert not torch.equal(order, torch.sort(order).values)


def test_log_likelihoods_are_those_of_the_model_one_document_at_a_time() -> None:
    by = ZooTrainer(planned(), {"one": TEXT})
    model, documents = by.model(by.initial()), by.documents()[:5]
    together = log_likelihoods(model, documents)
    alone = [
        -float(
            torch.nn.functional.cross_entropy(
                model(input_ids=one[None, :-1], use_cache=False).logits[0].detach(), one[1:], reduction="sum"
            )
        )
        for one in documents
    ]
    assert together == pytest.approx(alone, rel=1e-5)


def test_a_state_survives_its_file_by_round_trip(tmp_path: Path) -> None:
    from filiation.training_transcript.states import save

    by = ZooTrainer(planned(), {"one": TEXT})
    state = by.run(by.initial(), 0, 2).state
    save(state, tmp_path / "state.safetensors")
    assert digests(load(tmp_path / "state.safetensors")) == digests(state)
    from safetensors.numpy import load_file

    assert digests(load_file(tmp_path / "state.safetensors")) == digests(state)
