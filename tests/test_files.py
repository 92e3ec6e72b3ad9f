"""Files are complete or absent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from archgym_py.errors import ConfigError
from archgym_py.files import TEMPORARY_SUFFIX, LockedError, atomic_path, locked, write_text


def test_replaces_an_older_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    write_text(path, "new, with an ü")
    assert path.read_text(encoding="utf-8") == "new, with an ü"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write_half() -> None:
        with atomic_path(path) as temporary:
            assert temporary.name.endswith(TEMPORARY_SUFFIX)
            temporary.write_text("half")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.txt"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_is_locked_for_one_at_a_time(tmp_path: Path) -> None:
    refusal = f"{tmp_path}: another process is writing this sweep. Wait until it ends."
    with locked(tmp_path, "this sweep"):
        with pytest.raises(LockedError) as caught, locked(tmp_path, "this sweep"):
            pass
        assert str(caught.value) == refusal
        other = tmp_path / "other"
        other.mkdir()
        with locked(other, "that sweep"):  # a lock is of one folder only
            pass
    assert issubclass(LockedError, ConfigError)
    with locked(tmp_path, "this sweep"):
        pass


def test_an_error_lifts_the_lock(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="disk full"), locked(tmp_path, "this run"):
        raise RuntimeError("disk full")
    with locked(tmp_path, "this run"):
        pass


def test_the_lock_of_a_process_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from archgym_py.files import locked\n"
        "with locked(Path(sys.argv[1]), 'this run'): print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(LockedError, match="is writing this run"), locked(tmp_path, "this run"):
            pass
        holder.kill()
        holder.wait()
        with locked(tmp_path, "this run"):
            pass


def test_the_folder_to_lock_has_to_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), locked(tmp_path / "missing", "this run"):
        pass
