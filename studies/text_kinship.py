"""Calibrate text kinship, and make the control pack `alpaca_eval`.

python -m studies.text_kinship            print every table
python -m studies.text_kinship --write    and write the control pack, the register entry and the results
python -m studies.text_kinship --check    and fail where a figure falls short of what issue 3 asks
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import msgspec
import numpy as np

from filiation.measures import text_features
from filiation.sources.packs import CARD, Card, PackModel
from studies import alpaca_eval

ROOT = Path(__file__).parent.parent
PACK = ROOT / "src" / "filiation" / "packs" / "alpaca_eval"
PACK_PROMPTS = 200


def make_pack(folder: Path = PACK, prompts: int = PACK_PROMPTS) -> None:
    """Write card and data. The prompts are those with the smallest ids, which are digests: nobody chose them."""
    data = alpaca_eval.load()
    found, model, prompt = alpaca_eval.features()
    kept = np.flatnonzero(prompt < prompts)
    kept = kept[np.lexsort((model[kept], prompt[kept]))]
    packed = text_features.Packed(
        text_features.thinned(found.take(kept)), model[kept].astype(np.int32), prompt[kept].astype(np.int32)
    )
    content = text_features.pack_bytes(packed)
    card = Card(
        name="alpaca_eval",
        version="1",
        kind="text",
        purpose="139 public models as controls for answers to the AlpacaEval instructions",
        source="results/*/model_outputs.json of the public repository tatsu-lab/alpaca_eval; lineages from names, "
        "configurations and general knowledge, not verified against weights",
        licence="Figures derived from outputs published under CC BY-NC 4.0: salted, sub-sampled hashes and counts. No text "
        "of an answer or an instruction is part of the pack. Check whether the non-commercial licence of the source binds "
        "your use.",
        made_by="studies/text_kinship.py",
        feature_version=text_features.VERSION,
        models=tuple(
            PackModel(name=name, lineage=lineage, lab=lab)
            for name, lineage, lab in zip(data.models, data.lineages, data.labs, strict=True)
        ),
        related=data.related,
        prompts=data.prompts[:prompts],
        data="features.npz",
        data_sha256=hashlib.sha256(content).hexdigest(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / card.data).write_bytes(content)
    (folder / CARD).write_bytes(msgspec.json.encode(card) + b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().write:
        make_pack()


if __name__ == "__main__":
    main()
