import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.errors import TraceError
from archgym_py.simulators.dram.trace import MAX_STAMP, Trace, is_trace_file, read_stl, write_stl


def _trace(
    stamps: list[int], is_write: list[bool], addresses: list[int], relative: bool = False
) -> Trace:
    return Trace(
        np.array(stamps, dtype=np.int64),
        np.array(is_write, dtype=np.bool_),
        np.array(addresses, dtype=np.uint64),
        relative,
    )


@given(
    requests=st.lists(
        st.tuples(st.integers(0, 10**9), st.booleans(), st.integers(0, 2**64 - 1)), min_size=1
    ),
    ending=st.sampled_from([".stl", ".stl.gz", ".rstl", ".rstl.gz"]),
)
def test_files_are_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory,
    requests: list[tuple[int, bool, int]],
    ending: str,
) -> None:
    stamps, is_write, addresses = (list(column) for column in zip(*requests, strict=True))
    trace = _trace(stamps, is_write, addresses, ending.startswith(".rstl"))
    path = tmp_path_factory.mktemp("trace") / f"t{ending}"
    write_stl(trace, path)
    assert read_stl(path) == trace


def test_the_format(tmp_path: Path) -> None:
    path = tmp_path / "t.stl"
    path.write_bytes(
        b"# a comment\n"
        b"0:\tread\t0x40\n"
        b"\n"
        b"x\n"
        b"7:   write 0X1fC0 0xdeadbeef\r\n"
        b"   \n"
        b"  003:\tread 0x00000000000000000000ff  \n"
        b"5: write 0xFFFFFFFFFFFFFFFF"
    )
    trace = read_stl(path)
    assert trace.stamps.tolist() == [0, 7, 3, 5]
    assert trace.is_write.tolist() == [False, True, False, True]
    assert trace.addresses.tolist() == [0x40, 0x1FC0, 0xFF, 2**64 - 1]
    assert not trace.relative
    assert trace.name == str(path)


@pytest.mark.parametrize("name", ["t.rstl", "t.rstl.gz"])
def test_relative_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = b"2: read 0x0\n2: read 0x40\n"
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert read_stl(path).relative


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 read 0x40", "'0' is not a cycle followed by a colon"),
        ("0: read", "the address is missing"),
        ("12:", "'read' or 'write' is missing"),
        ("0:read 0x40", "'0:read' is not a cycle followed by a colon"),
        ("-1: read 0x40", "'-1:' is not a cycle"),
        ("1_0: read 0x40", "'1_0:' is not a cycle"),
        ("1.5: read 0x40", "'1.5:' is not a cycle"),
        ("٣: read 0x40", "is not a cycle"),
        ("0: Read 0x40", "'Read' is neither 'read' nor 'write'"),
        ("0: readx 0x40", "'readx' is neither 'read' nor 'write'"),
        ("0: (64) read 0x40", "'(64)' is neither 'read' nor 'write'"),
        ("0: read 40", "'40' is not a hexadecimal address with 0x before it"),
        ("0: read 0x", "'0x' is not a hexadecimal address"),
        ("0: read 0x4_0", "'0x4_0' is not a hexadecimal address"),
        ("0: read 0x-4", "'0x-4' is not a hexadecimal address"),
        ("0: write 0x40 0xff more", "5 words, but a request has 3, or 4 with data"),
        ("1000000000000: read 0x40", "the cycle is above 999999999999"),
        ("9" * 5000 + ": read 0x40", "the cycle is above 999999999999"),
        ("0: read 0x1" + "0" * 16, "the address has more than 64 bits"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "t.stl"
    path.write_text(f"# good so far\n0: read 0x0\n{line}\n", encoding="utf-8")
    with pytest.raises(TraceError) as caught:
        read_stl(path)
    assert str(caught.value).startswith(f"{path}, line 3: ")
    assert message in str(caught.value)
    assert "Write '<cycle>: read|write 0x<address> [data]'" in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.stl"
    path.write_bytes(b"\xff\xfe\x00\n")
    with pytest.raises(TraceError, match=r"t\.stl, line 1: "):
        read_stl(path)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# only\n# comments\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.stl"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=r"t\.stl: has no request\. A line is"):
        read_stl(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"none\.stl: cannot be read: No such file"):
        read_stl(tmp_path / "none.stl")
    with pytest.raises(TraceError, match="cannot be read: embedded null byte"):
        read_stl("a\0b.stl")
    (tmp_path / "folder.stl").mkdir()
    with pytest.raises(TraceError, match=r"folder\.stl: cannot be read: Is a directory"):
        read_stl(tmp_path / "folder.stl")
    (tmp_path / "plain.stl.gz").write_bytes(b"0: read 0x0\n")
    with pytest.raises(TraceError, match=r"plain\.stl\.gz: cannot be read: Not a gzipped file"):
        read_stl(tmp_path / "plain.stl.gz")
    whole = gzip.compress(b"0: read 0x0\n" * 100)
    (tmp_path / "cut.stl.gz").write_bytes(whole[:-9])
    with pytest.raises(TraceError, match=r"cut\.stl\.gz: cannot be read: "):
        read_stl(tmp_path / "cut.stl.gz")
    (tmp_path / "bad.stl.gz").write_bytes(whole[:12] + b"\xff\xff\xff" + whole[15:])
    with pytest.raises(TraceError, match=r"bad\.stl\.gz: cannot be read: "):
        read_stl(tmp_path / "bad.stl.gz")


def test_endings() -> None:
    assert is_trace_file("a/b.rstl.gz")
    assert not is_trace_file("cloud-saturating-1k")
    with pytest.raises(TraceError, match=r"t\.txt: a trace file ends in \.stl, \.stl\.gz, \.rstl"):
        read_stl("t.txt")


def test_the_ending_must_agree_with_the_cycles(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"with relative cycles needs the ending \.rstl"):
        write_stl(_trace([0], [False], [0], relative=True), tmp_path / "t.stl")
    with pytest.raises(TraceError, match=r"with absolute cycles needs the ending \.stl"):
        write_stl(_trace([0], [False], [0]), tmp_path / "t.rstl.gz")


def test_a_trace_checks_itself() -> None:
    with pytest.raises(TraceError, match="has no request"):
        _trace([], [], [])
    with pytest.raises(TraceError, match=r"vectors of equal length, got shapes \(2,\)"):
        _trace([0, 1], [False], [0, 0])
    with pytest.raises(TraceError, match=r"cycles must be in 0\.\.999999999999, got -1\.\.3"):
        _trace([-1, 3], [False, False], [0, 0])
    with pytest.raises(TraceError, match=r"got 0\.\.1000000000000"):
        _trace([0, MAX_STAMP + 1], [False, False], [0, 0])
    with pytest.raises(TraceError, match=r"got 999999999999\.\.1999999999998"):
        _trace([MAX_STAMP, MAX_STAMP], [False, False], [0, 0], relative=True)


def test_a_trace_is_its_content() -> None:
    stamps = np.array([0, 1])
    trace = Trace(stamps, np.array([True, False]), np.array([0, 64], dtype=np.uint64), name="a")
    stamps[0] = 9
    assert trace.stamps.tolist() == [0, 1]
    assert not trace.stamps.flags.writeable
    assert trace == _trace([0, 1], [True, False], [0, 64])
    assert hash(trace) == hash(_trace([0, 1], [True, False], [0, 64]))
    for other in (
        _trace([0, 2], [True, False], [0, 64]),
        _trace([0, 1], [True, True], [0, 64]),
        _trace([0, 1], [True, False], [0, 128]),
        _trace([0, 1], [True, False], [0, 64], relative=True),
    ):
        assert trace != other
    assert trace.digest == "299135b97be6f46afdc4738821a92d6473e5d4c2b2d166eba77d64a77e770eb0"
