"""Coverage-guided fuzzing of both header parsers with atheris: only SourceError may come out of them.

    python tests/fuzz/fuzz_headers.py --minutes 10

Seeds are the hostile files of tests/bad_input. A crash, an input that takes over ten seconds or a resident memory over
1 GB ends the run with an error and leaves the input behind. The last line tells executions and peak memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEMORY_MEGABYTES = 1024
SECONDS_PER_INPUT = 10


def write_seeds(folder: Path) -> int:
    """The bad files that are headers, and some good ones, each as one seed."""
    sys.path.insert(0, str(ROOT))
    from tests.bad_input import make_bad_files as bad

    good = [bad.stored(bad.llama_arrays()), bad.gguf([bad.ONE], [bad.ARCHITECTURE], bytes(128))]
    seeds = [*bad.SAFETENSORS.values(), *bad.GGUFS.values(), *good]
    kept = [seed for seed in seeds if len(seed) <= 1 << 16]
    for number, seed in enumerate(kept):
        # The first byte chooses the parser: each seed is tried on both.
        (folder / f"{number:03d}-s").write_bytes(b"\x00" + seed)
        (folder / f"{number:03d}-g").write_bytes(b"\x01" + seed)
    return 2 * len(kept)


def examine(data: bytes) -> None:
    """Parse one input, whose first byte chooses the parser and whether the file goes on behind the bytes at hand."""
    from filiation.errors import SourceError
    from filiation.sources import gguf_file, safetensors_file

    if not data:
        return
    content = data[1:]
    file_size = len(content) * (1 + (data[0] >> 1) % 3)
    try:
        if data[0] % 2 == 0:
            length = safetensors_file.header_size(content[:8], file_size, file="f", exhibit="e")
            safetensors_file.parse_header(content[8 : 8 + length], file_size, file="f", exhibit="e")
        else:
            header = gguf_file.parse_header(content, file_size, file="f", exhibit="e")
            gguf_file.configuration_of(header)
    except gguf_file.NeedsMore as error:
        if file_size == len(content):
            raise RuntimeError("the parser asks for more than the whole file") from error
    except SourceError as error:
        if not (error.message and error.advice and error.exhibit):
            raise RuntimeError("an error without exhibit or advice") from error


def fuzz(arguments: list[str]) -> None:
    """What runs inside the fuzzing process."""
    import atheris

    with atheris.instrument_imports(include=["filiation", "json"]):
        from filiation.sources import gguf_file, safetensors_file  # noqa: F401
    atheris.Setup([sys.argv[0], *arguments], examine)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description="fuzz the safetensors and GGUF header parsers")
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as scratch:
        corpus = Path(scratch) / "corpus"
        corpus.mkdir()
        seeds = write_seeds(corpus)
        command = [sys.executable, __file__, "--inside", str(corpus), f"-max_total_time={int(60 * minutes)}"]
        command += ["-max_len=65536", f"-timeout={SECONDS_PER_INPUT}", f"-rss_limit_mb={MEMORY_MEGABYTES}"]
        command += ["-print_final_stats=1", f"-artifact_prefix={Path.cwd()}/"]
        started = time.monotonic()
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ))
        elapsed = time.monotonic() - started
    stats = dict(line[6:].split(":") for line in run.stderr.splitlines() if line.startswith("stat::"))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    executions = stats.get(" number_of_executed_units", stats.get("number_of_executed_units", "?")).strip()
    if run.returncode:
        print(run.stderr[-4000:])
    outcome = "no crash, no hang" if run.returncode == 0 else f"FAILED with code {run.returncode}"
    print(f"{executions} executions from {seeds} seeds in {elapsed:.0f} s, peak memory {peak} MB: {outcome}")
    return run.returncode


if __name__ == "__main__":
    if "--inside" in sys.argv:
        sys.argv.remove("--inside")
        fuzz(sys.argv[1:])
    else:
        sys.exit(main())
