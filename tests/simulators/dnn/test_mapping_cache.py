import json
import math
import os
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from archgym_py.errors import ConfigError
from archgym_py.simulators.dnn.mapping_cache import Found, MappingCache
from archgym_py.simulators.dnn.model import LevelMapping, Mapping


def result(number: int = 2) -> Found:
    levels = (
        LevelMapping(keep=("Weights",), temporal=(("M", number), ("C", 3)), spatial_x=(("P", 7),)),
        LevelMapping(keep=(), spatial_y=(("Q", 5),)),
        LevelMapping(),
    )
    return Found(Mapping(levels), 10**15 + number, 0.1 + number, number % 2 == 0, 17)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mappings.sqlite"


@pytest.fixture
def cache(path: Path) -> Iterator[MappingCache]:
    cache = MappingCache(path)
    yield cache
    cache.close()


def test_memory() -> None:
    cache = MappingCache()
    assert cache.get("a") is None
    cache.put("a", result())
    assert cache.get("a") == result()
    assert cache.get("b") is None
    cache.close()
    assert cache.path is None
    assert cache.get("a") == result()


def test_the_oldest_leave_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archgym_py.simulators.dnn.mapping_cache._IN_MEMORY", 2)
    cache = MappingCache()
    for key in "ab":
        cache.put(key, result())
    cache.get("a")
    cache.put("c", result())
    assert [cache.get(key) is not None for key in "abc"] == [True, False, True]


def test_what_left_the_memory_is_read_from_the_file(
    cache: MappingCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archgym_py.simulators.dnn.mapping_cache._IN_MEMORY", 1)
    for number in range(1, 6):
        cache.put(str(number), result(number))
    assert [cache.get(str(number)) for number in range(1, 6)] == [result(n) for n in range(1, 6)]


def test_another_cache_of_the_file_reads_what_was_written(cache: MappingCache, path: Path) -> None:
    cache.put("a", result(4))
    other = MappingCache(str(path))
    assert other.get("a") == result(4)
    assert other.get("b") is None
    other.put("b", result(5))
    assert cache.get("b") == result(5)  # while both are open
    other.close()


def test_the_first_result_stays(cache: MappingCache, path: Path) -> None:
    other = MappingCache(path)
    cache.put("a", result(1))
    other.put("a", result(1))
    other.close()
    assert MappingCache(path).get("a") == result(1)


def test_closing_and_using_again(cache: MappingCache, path: Path) -> None:
    cache.put("a", result())
    cache.close()
    cache.close()
    cache.put("b", result(3))
    cache.close()
    path.rename(path.with_suffix(".moved"))
    assert MappingCache(path.with_suffix(".moved")).get("b") == result(3)


def test_a_copy_opens_the_file_itself(cache: MappingCache) -> None:
    cache.put("a", result())
    copy = pickle.loads(pickle.dumps(cache))  # noqa: S301 - our own
    assert copy.path == cache.path
    assert copy.get("a") == result()
    copy.put("b", result(3))
    copy.close()
    assert cache.get("b") == result(3)


def test_a_copy_of_a_cache_in_memory_is_empty() -> None:
    cache = MappingCache()
    cache.put("a", result())
    assert pickle.loads(pickle.dumps(cache)).get("a") is None  # noqa: S301 - our own


def test_threads_use_it_at_once(cache: MappingCache) -> None:
    def use(number: int) -> bool:
        cache.put(str(number % 20), result(1 + number % 20))
        return cache.get(str(number % 20)) == result(1 + number % 20)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(200)))


def test_processes_use_it_at_once(path: Path) -> None:
    code = (
        "import pickle, sys\n"
        "from archgym_py.simulators.dnn.mapping_cache import MappingCache\n"
        "found = pickle.loads(sys.stdin.buffer.read())\n"
        f"cache = MappingCache({str(path)!r})\n"
        "for number in range(60):\n"
        "    cache.put(f'{sys.argv[1]}{number}', found)\n"
        "    cache.put(f'both{number}', found)\n"
        "    assert cache.get(f'both{number}') == found\n"
        "cache.close()\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, name], stdin=subprocess.PIPE)
        for name in ("one", "two")
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(pickle.dumps(result()))
        process.stdin.close()
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    cache = MappingCache(path)
    for name in ("one", "two", "both"):
        assert all(cache.get(f"{name}{number}") == result() for number in range(60))
    cache.close()


def test_a_new_file_can_be_opened_by_many_at_once(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        caches = list(pool.map(MappingCache, [path] * 16))
        list(pool.map(lambda cache: cache.put("a", result()), caches))
    assert all(cache.get("a") == result() for cache in caches)
    for cache in caches:
        cache.close()


def test_results_are_not_written_to_the_disk_one_by_one(cache: MappingCache) -> None:
    """The settings that spare a wait for the disk at every result."""
    file = cache._open()
    assert file.execute("PRAGMA journal_mode").fetchone() == (b"wal",)
    assert file.execute("PRAGMA synchronous").fetchone() == (1,)  # NORMAL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_fork_opens_the_file_itself(cache: MappingCache) -> None:
    cache.put("a", result())
    child = os.fork()
    if child == 0:
        status = 1
        try:
            cache.put("b", result(3))
            cache.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert cache.get("b") == result(3)
    cache.put("c", result(4))
    assert cache.get("c") == result(4)


# --- Files that cannot be used --------------------------------------------------------------------


def test_a_file_that_is_no_database_is_named(path: Path) -> None:
    path.write_text("This is a text and has more than sixteen characters.\n" * 20)
    with pytest.raises(ConfigError) as caught:
        MappingCache(path)
    assert f"the mapping cache {str(path)!r} cannot be used: file is not a data" in str(
        caught.value
    )
    assert "Delete the file if it is a damaged or older cache" in str(caught.value)


def test_a_file_that_was_damaged_is_named(path: Path) -> None:
    cache = MappingCache(path)
    for number in range(1, 101):
        cache.put(str(number), result(number))
    cache.close()
    content = bytearray(path.read_bytes())
    content[100:] = b"\xff" * (len(content) - 100)
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:  # noqa: PT012 - either may notice
        damaged = MappingCache(path)
        damaged.get("1")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("where", ["missing/mappings.sqlite", ".", "file/mappings.sqlite"])
def test_a_path_that_cannot_be_written_is_named(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / where
    with pytest.raises(ConfigError) as caught:
        MappingCache(path)
    assert f"the mapping cache {str(path)!r} cannot be used: unable to open" in str(caught.value)
    assert "choose a path in a folder that you may write to" in str(caught.value)


@pytest.mark.parametrize(
    "table",
    [
        "mappings (place TEXT, map BLOB, scale REAL)",
        "mappings (key TEXT PRIMARY KEY, found TEXT)",
        "music (title TEXT)",
    ],
)
def test_a_database_of_somebody_else_is_left_alone(path: Path, table: str) -> None:
    database = sqlite3.connect(path)
    with database:
        database.execute(f"CREATE TABLE {table}")
    database.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError) as caught:
        MappingCache(path)
    assert f"the mapping cache {str(path)!r} cannot be used: it is a database" in str(caught.value)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("pragma", ["application_id = 7", "user_version = 2"])
def test_a_database_with_another_mark_is_left_alone(path: Path, pragma: str) -> None:
    MappingCache(path).close()
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA {pragma}")
    database.close()
    with pytest.raises(ConfigError, match="but not one that this version made"):
        MappingCache(path)


def test_a_cache_without_its_table_is_named(cache: MappingCache, path: Path) -> None:
    cache.close()
    write(path, "DROP TABLE mappings")
    with pytest.raises(ConfigError, match="cannot be used: no such table") as caught:
        cache.get("a")
    assert str(path) in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be used: no such table"):
        cache.put("a", result())


def test_an_empty_file_becomes_a_cache(path: Path) -> None:
    path.touch()
    cache = MappingCache(path)
    cache.put("a", result())
    cache.close()
    other = MappingCache(path)
    assert other.get("a") == result()
    other.close()


@pytest.mark.parametrize("value", [True, 0, 3, [], b"mappings.sqlite", {}, 1.5, ""])
def test_what_is_no_path(value: Any) -> None:
    with pytest.raises(ConfigError, match="mapping_cache must be"):
        MappingCache(value)


def test_a_path_that_no_file_can_have() -> None:
    with pytest.raises(ConfigError, match="cannot be used: embedded null"):
        MappingCache("a\0b")


def test_a_path_is_a_file_and_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite would take ":memory:" for no file at all."""
    monkeypatch.chdir(tmp_path)
    cache = MappingCache(":memory:")
    monkeypatch.chdir("/")
    assert cache.path == tmp_path / ":memory:"
    cache.put("a", result())
    cache.close()
    cache.put("b", result())
    cache.close()
    assert [file.name for file in tmp_path.iterdir()] == [":memory:"]


# --- Rows that cannot be read ---------------------------------------------------------------------


def write(path: Path, statement: str, *values: object) -> None:
    database = sqlite3.connect(path)
    with database:
        database.execute(statement, values)
    database.close()


GOOD = json.dumps(asdict(result()))


def changed(**fields: Any) -> str:
    return json.dumps({**json.loads(GOOD), **fields})


def with_level(**fields: Any) -> str:
    content = json.loads(GOOD)
    content["mapping"]["levels"][0].update(fields)
    return json.dumps(content)


@pytest.mark.parametrize(
    "text",
    [
        "not JSON",
        "[]",
        "{}",
        "3",
        "[" * 100_000,
        '{"mapping": {"levels": 3}}',
        '{"mapping": {"levels": [{"keep": []}]}}',
        None,
        5,
        0.5,
        b"\xff\xfe\xff",
        GOOD[:-20],
        changed(cycles=None),
        changed(cycles=0),
        changed(cycles=1.5),
        changed(cycles="12"),
        changed(cycles=2**70),
        changed(energy_pj=math.nan),
        changed(energy_pj=math.inf),
        changed(energy_pj=1).replace('"energy_pj": 1', '"energy_pj": 1e999'),
        changed(energy_pj=-1.0),
        changed(energy_pj="1"),
        changed(optimal=1),
        changed(evaluated=-1),
        changed(mapping=None),
        with_level(keep=["Weigths"]),
        with_level(keep=["Weights", "Weights"]),
        with_level(keep=[["Weights"]]),
        with_level(temporal=None),
        with_level(temporal=[["K", 2]]),
        with_level(temporal=[["M", 2], ["M", 2]]),
        with_level(temporal=[["M", 2.0]]),
        with_level(spatial_x=[["M", 0]]),
        with_level(spatial_y=[["M"]]),
    ],
)
def test_a_row_that_cannot_be_read_is_replaced(
    cache: MappingCache, path: Path, text: object
) -> None:
    cache.put("b", result(3))
    cache.close()
    write(path, "INSERT INTO mappings VALUES ('a', ?)", text)
    other = MappingCache(path)
    assert other.get("a") is None
    assert other.get("b") == result(3)
    other.put("a", result())
    other.close()
    third = MappingCache(path)
    assert third.get("a") == result()
    third.close()


def test_a_text_that_is_no_utf8_is_replaced(cache: MappingCache, path: Path) -> None:
    write(path, "INSERT INTO mappings VALUES ('a', CAST(X'7bff7d' AS TEXT))")
    assert cache.get("a") is None
    cache.put("a", result())
    assert MappingCache(path).get("a") == result()


def test_a_file_that_vanishes_while_it_is_closed_is_made_again(
    cache: MappingCache, path: Path
) -> None:
    cache.put("a", result())
    cache.close()
    path.unlink()
    cache.put("b", result(3))
    assert cache.get("a") == result()  # from memory
    cache.close()
    other = MappingCache(path)
    assert [other.get("a"), other.get("b")] == [None, result(3)]
    other.close()
