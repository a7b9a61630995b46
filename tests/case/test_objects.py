"""Content-addressed bytes: what is stored comes back or is refused, and files of any size are hashed without being held."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filiation.case.objects import CHUNK, Objects, hash_files, sha256_of_file
from filiation.errors import FiliationError, MalformedSource, RecordError, SourceError, SourceNotFound, UsageError
from tests.case.small_case import a_folder_that_others_may_enter, files_no_longer_than, without_permission_to_write

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4, the example of one block


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path / "objects")


def left_over(objects: Objects) -> list[Path]:
    return list(objects.folder.rglob(".new-*"))


def test_against_the_published_example(objects: Objects) -> None:
    assert objects.put(b"abc") == ABC
    assert objects.path(ABC) == objects.folder / "ba" / ABC
    assert objects.path(ABC).read_bytes() == b"abc"


@given(contents=st.lists(st.binary(max_size=200), max_size=5))
@settings(max_examples=30)
def test_what_is_stored_comes_back(tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]) -> None:
    objects = Objects(tmp_path_factory.mktemp("any") / "objects")
    stored = {objects.put(data): data for data in contents}
    assert {digest: objects.get(digest) for digest in stored} == stored
    assert list(objects.digests()) == sorted(stored)
    assert not left_over(objects)


def test_the_same_bytes_twice_are_one_object_that_stays_untouched(objects: Objects, tmp_path: Path) -> None:
    objects.put(b"abc")
    before = objects.path(ABC).stat()
    (tmp_path / "file").write_bytes(b"abc")
    assert objects.put(b"abc") == objects.put_file(tmp_path / "file") == ABC
    after = objects.path(ABC).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert list(objects.digests()) == [ABC]


def test_an_altered_object_is_refused_whoever_comes(objects: Objects, tmp_path: Path) -> None:
    objects.put(b"abc")
    objects.path(ABC).write_bytes(b"abd")
    (tmp_path / "file").write_bytes(b"abc")
    for reach in (lambda: objects.get(ABC), lambda: objects.put(b"abc"), lambda: objects.put_file(tmp_path / "file")):
        with pytest.raises(RecordError, match="altered"):
            reach()
    assert not left_over(objects)


def test_a_missing_object_is_told(objects: Objects) -> None:
    assert not objects.holds(ABC)
    with pytest.raises(RecordError, match="is missing"):
        objects.get(ABC)


@pytest.mark.parametrize(
    "digest",
    ["", "..", "../case.json", "/etc/passwd", ABC.upper(), ABC[:-1], ABC + "0", ABC + "\n", "../" + ABC[3:], "٠" * 64],
)
def test_only_a_digest_leads_to_a_file(objects: Objects, digest: str) -> None:
    for reach in (objects.path, objects.holds, objects.get):
        with pytest.raises(RecordError, match="not the SHA-256 of an object"):
            reach(digest)


def test_no_link_is_followed(objects: Objects, tmp_path: Path) -> None:
    objects.put(b"abc")
    shutil.move(objects.path(ABC), tmp_path / "elsewhere")
    objects.path(ABC).symlink_to(tmp_path / "elsewhere")
    for reach in (
        lambda: objects.get(ABC),
        lambda: objects.holds(ABC),
        lambda: objects.put(b"abc"),
        lambda: list(objects.digests()),
    ):
        with pytest.raises(RecordError, match="is a link"):
            reach()


@pytest.mark.parametrize("part", ["objects", "objects/ba"])
def test_no_folder_that_is_a_link_is_entered(objects: Objects, tmp_path: Path, part: str) -> None:
    objects.put(b"abc")
    shutil.move(tmp_path / part, tmp_path / "elsewhere")
    (tmp_path / part).symlink_to(tmp_path / "elsewhere")
    for reach in (lambda: objects.get(ABC), lambda: objects.put(b"abc"), lambda: list(objects.digests())):
        with pytest.raises(RecordError, match="is a link"):
            reach()


def test_a_folder_or_a_pipe_in_the_place_of_an_object_is_told(objects: Objects) -> None:
    objects.path(ABC).mkdir(parents=True)
    with pytest.raises(RecordError):
        objects.get(ABC)
    objects.path(ABC).rmdir()
    os.mkfifo(objects.path(ABC))
    with pytest.raises(RecordError, match="is not a file"):
        objects.get(ABC)


def test_nothing_is_stored_where_the_case_is_only_read(tmp_path: Path) -> None:
    objects = Objects(tmp_path / "objects", writable=False)
    (tmp_path / "file").write_bytes(b"abc")
    for store in (lambda: objects.put(b"abc"), lambda: objects.put_file(tmp_path / "file")):
        with pytest.raises(UsageError, match="not open for writing"):
            store()
    assert not objects.folder.exists()


def test_names_that_are_no_digests_are_passed_over(objects: Objects) -> None:
    objects.put(b"abc")
    for name in ("README", "ba/notes", "00/" + ABC):
        (objects.folder / name).parent.mkdir(exist_ok=True)
        (objects.folder / name).write_bytes(b"")
    assert list(objects.digests()) == [ABC]


# ----------------------------------------------------------------------------------------------------------- large files


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Three chunks and a bit, not aligned."""
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(range(251)) * (3 * CHUNK // 251 + 10))
    return path


def test_a_file_is_stored_in_pieces_and_never_held(objects: Objects, large: Path) -> None:
    shares: list[float] = []
    tracemalloc.start()
    digest = objects.put_file(large, lambda name, share: shares.append(share))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert digest == hashlib.sha256(large.read_bytes()).hexdigest()
    assert objects.path(digest).read_bytes() == large.read_bytes()
    assert peak < large.stat().st_size / 2
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) == 4


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="the program sha256sum is not installed")
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_digests_and_sizes_against_sha256sum(tmp_path: Path, large: Path, workers: int) -> None:
    paths = [large]
    for size in (0, 1, CHUNK - 1, CHUNK, CHUNK + 1):
        paths.append(tmp_path / f"{size}.bin")
        paths[-1].write_bytes(os.urandom(size))
    told: list[tuple[str, float]] = []
    found = hash_files(paths, lambda name, share: told.append((name, share)), workers)
    printed = subprocess.run(["sha256sum", *paths], capture_output=True, text=True, check=True).stdout
    assert [digest for digest, _ in found.values()] == [line.split()[0] for line in printed.splitlines()]
    assert [(path, size) for path, (_, size) in found.items()] == [(path, path.stat().st_size) for path in paths]
    assert [share for _, share in told] == sorted(share for _, share in told)
    assert told[-1][1] == 1.0
    assert {name for name, _ in told} == {path.name for path in paths if path.stat().st_size}


def test_a_file_outside_may_be_a_link_as_hubs_make_them(objects: Objects, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"abc")
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "blob")
    assert sha256_of_file(tmp_path / "model.safetensors") == objects.put_file(tmp_path / "model.safetensors") == ABC


def test_a_file_that_changes_while_it_is_read_is_refused(objects: Objects, large: Path) -> None:
    def grow(_name: str, _share: float) -> None:
        with large.open("ab") as file:
            file.write(b"more")

    for reach in (lambda: objects.put_file(large, grow), lambda: hash_files([large], grow)):
        with pytest.raises(MalformedSource, match="changed while it was read"):
            reach()
    assert list(objects.digests()) == []
    assert not left_over(objects)


def test_what_is_no_readable_file_is_told(objects: Objects, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, kind in (
        (tmp_path / "none", SourceNotFound),
        (tmp_path, MalformedSource),
        (tmp_path / "pipe", MalformedSource),
    ):
        with pytest.raises(kind):
            objects.put_file(path)
        with pytest.raises(kind):
            sha256_of_file(path)


def test_files_that_cannot_be_read_are_put_aside_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    refused: dict[Path, SourceError] = {}
    found = hash_files([tmp_path / "none", tmp_path / "file"], refused=refused)
    assert found == {tmp_path / "file": (ABC, 3)}
    assert list(refused) == [tmp_path / "none"]


def test_whoever_stops_the_hashing_does_not_wait_for_the_rest(tmp_path: Path, large: Path) -> None:
    others = [tmp_path / f"{number}.bin" for number in range(20)]
    for path in others:
        path.symlink_to(large)
    read: list[str] = []

    def stop(name: str, _share: float) -> None:
        read.append(name)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hash_files(others, stop)
    assert len(read) <= 4
    assert threading.active_count() == 1


# ------------------------------------------------------------------------------------------ no room, and no permission


def test_no_room_for_an_object_leaves_nothing_behind(objects: Objects, large: Path) -> None:
    objects.put(b"abc")
    for store in (lambda: objects.put(bytes(5000)), lambda: objects.put_file(large)):
        with files_no_longer_than(4096), pytest.raises(RecordError, match="cannot be written") as caught:
            store()
        assert "make room" in caught.value.advice
    assert list(objects.digests()) == [ABC]
    assert not left_over(objects)
    assert objects.get(objects.put(bytes(5000))) == bytes(5000)


def test_no_permission_to_store_is_told() -> None:
    with a_folder_that_others_may_enter() as folder:
        objects = Objects(folder / "objects")
        objects.put(b"abc")
        with without_permission_to_write(folder):
            assert objects.get(ABC) == b"abc"
            with pytest.raises(FiliationError, match="cannot be written") as caught:
                objects.put(b"another")
        assert "permission" in caught.value.advice
