"""The fuzz target without the fuzzer: all seeds, whole, cut and with bytes changed, on both parsers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.fuzz.fuzz_headers import examine, write_seeds


def test_only_source_errors_come_out_of_seeds_and_their_mutations(tmp_path: Path) -> None:
    assert write_seeds(tmp_path) > 80
    rng = np.random.default_rng(0)
    for path in sorted(tmp_path.iterdir()):
        seed = path.read_bytes()
        examine(seed)
        for _ in range(30):
            changed = bytearray(seed[: rng.integers(1, len(seed) + 1)])
            for position in rng.integers(0, len(changed), 3):
                changed[position] = rng.integers(0, 256)
            examine(bytes(changed))
