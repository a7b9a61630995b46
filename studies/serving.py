"""A model folder behind a real server on this machine: `transformers serve`, offline, on the CPU.

    with served(folder) as server:
        endpoint_at(server.chat), endpoint_at(server.completions)

What was found about `transformers serve` (5.23):
- It serves a local folder when that is its argument, and then answers to that argument as the model's name only (else status 400).
- GGUF files it does not serve: the configuration that it makes of one names no architecture (a TypeError before the server
  starts), and a model read from one cannot be saved; so `smollm2_folder` writes the folder itself.
- Text completions need nothing further; chat without a chat template in the folder is status 500. `prepared` adds a template.
- Chat of Qwen's architectures is cut out behind the marks of ChatML: under a template without them the answer comes back with
  the prompt in front. A body is then stripped of outer space and a stream is not: never compare one with the other.
- **A temperature above 0 changes nothing unless generation_config.json says `do_sample`**: `prepared` writes it.
- `seed` sets the process's one random state when a request arrives: with several requests at once, none is reproducible.
- Log-probabilities are asked for in vain: the fields are ignored. Streams end with a finish reason, and without [DONE].
- It needs fastapi, uvicorn, openai, pydantic and starlette (the extra `serving` of transformers).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).parent.parent / ".cache" / "serving"
NEEDED = ("fastapi", "uvicorn", "openai", "pydantic", "starlette", "transformers", "torch")
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
"""A chat template for models that have none: the roles in words, which takes few tokens of a small model's context."""
CHATML_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""For Qwen's architectures, whose answers `transformers serve` looks for behind the marks of ChatML."""


@dataclass(frozen=True)
class Served:
    """A running server: `url` is the base that OpenAI-compatible paths are added to, `model` the name that it answers to."""

    url: str
    model: str
    process_id: int

    @property
    def chat(self) -> str:
        """The location of its chat completions."""
        return f"openai:{self.model}@{self.url}"

    @property
    def completions(self) -> str:
        """The location of its text completions."""
        return f"openai-completions:{self.model}@{self.url}"


def missing() -> list[str]:
    """The packages that serving needs and that are not installed."""
    from importlib.util import find_spec

    return [name for name in NEEDED if find_spec(name) is None]


def prepared(folder: Path, target: Path) -> Path:
    """A copy of a model folder (weights linked) that can be chatted with and that samples; returns `target`.

    A chat template that the folder has is kept.
    """
    target.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        copy = target / file.name
        if copy.exists():
            continue
        if file.suffix in (".safetensors", ".bin"):
            copy.symlink_to(file.resolve())
        elif file.is_file():
            shutil.copyfile(file, copy)
    _set(target / "generation_config.json", do_sample=True)
    settings = _read(target / "tokenizer_config.json")
    if not settings.get("chat_template") and not (target / "chat_template.jinja").exists():
        qwen = str(_read(target / "config.json").get("model_type", "")).startswith("qwen")
        (target / "chat_template.jinja").write_text(CHATML_TEMPLATE if qwen else PLAIN_TEMPLATE)
    return target


def smollm2_folder(target: Path | None = None) -> Path:
    """SmolLM2-135M-Instruct as a Hugging Face folder in float32, made of the GGUF file (4 bits) of the demonstration.

    Written once, to the project's cache unless `target` is given. Raises SystemExit where the demonstration's file is missing.
    """
    from safetensors.numpy import save_file
    from transformers import AutoTokenizer

    from filiation.sources.families import Decoder, decoder_of
    from filiation.sources.open import open_source
    from studies.demo.exhibits import hugging_face_configuration, hugging_face_weights, smollm2

    folder = target or CACHE / "smollm2-135m-instruct"
    if (folder / "model.safetensors").exists():
        return folder
    original = smollm2()
    decoder = decoder_of(open_source(original))
    assert isinstance(decoder, Decoder), decoder
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(original.parent, gguf_file=original.name)
    tokenizer.save_pretrained(folder)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    configuration = hugging_face_configuration(original) | {"architectures": ["LlamaForCausalLM"], "dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(configuration | ends, indent=1))
    (folder / "generation_config.json").write_text(json.dumps({"do_sample": True, **ends}, indent=1))
    part = folder / "model.part"
    save_file(hugging_face_weights(decoder), part, metadata={"format": "pt"})
    part.rename(folder / "model.safetensors")
    return folder


@contextmanager
def served(folder: Path | str, *, patience: float = 120.0, threads: int = 1, dtype: str = "auto") -> Iterator[Served]:
    """`transformers serve FOLDER` while the context lasts.

    `patience`: seconds until it must answer. Raises RuntimeError with the end of its log where it does not.
    """
    name, port = str(folder), _free_port()
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "OMP_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
    }
    start = "from transformers.cli.transformers import app; app(prog_name='transformers')"
    command = [sys.executable, "-c", start, "serve", name, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--device", "cpu", "--dtype", dtype, "--log-level", "error"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_until_it_answers(process, f"http://127.0.0.1:{port}/health", patience, log)
            yield Served(url=f"http://127.0.0.1:{port}/v1", model=name, process_id=process.pid)
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_it_answers(process: subprocess.Popen[bytes], url: str, patience: float, log: object) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + patience
    while time.monotonic() < end and process.poll() is None:
        try:
            with opener.open(url, timeout=2):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
    log.seek(0)  # type: ignore[attr-defined]
    said = log.read().decode("utf-8", "replace")[-2000:]  # type: ignore[attr-defined]
    raise RuntimeError(f"`transformers serve` does not answer after {patience:.0f} seconds; it said:\n{said}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _read(file: Path) -> dict[str, object]:
    return dict(json.loads(file.read_text())) if file.exists() else {}


def _set(file: Path, **values: object) -> None:
    file.write_text(json.dumps(_read(file) | values, indent=1))
