"""The library against the recorded runs in tests/golden; `replay.py` there does the comparison."""

import csv
import gzip
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from archgym_py.simulators.dram.layout import VALUES
from archgym_py.simulators.dram.technology import technology_names
from tests.golden.replay import (
    ARGUMENTS,
    KNOBS,
    Comparison,
    choose_sample,
    compare_commands,
    group_of,
    judge,
    main,
    read_rows,
    replay,
)

SAMPLE = Path(__file__).parents[2] / "golden" / "dram"


@pytest.fixture(scope="module")
def comparisons() -> list[Comparison]:
    return replay(SAMPLE)


# What the simulator misses on the sample; tests/golden/README.md says by how much, and why. One
# that is met some day has to leave this list, and a new one fails the test.
KNOWN_MISSES = {
    ("DDR3-1600-2ch", "total_time_ns", "worst"),
    ("DDR3-1600-2ch", "energy_pj", "worst"),
    ("DDR3-1600-2ch", "latency_mean_ns", "p99"),
    ("HBM2", "latency_mean_ns", "p99"),
}


def test_the_sample_is_reproduced_but_for_the_known_misses(comparisons: list[Comparison]) -> None:
    misses = {
        tuple(verdict.text.split()[:3]) for verdict in judge(comparisons) if not verdict.passed
    }
    assert misses == KNOWN_MISSES


def test_the_sample_has_every_technology_and_value() -> None:
    rows = read_rows(SAMPLE)
    assert {row["mem"] for row in rows} == set(technology_names())
    for column, name in KNOBS.items():
        if name in VALUES:
            assert {row[column] for row in rows} == set(VALUES[name]), column
    for column in (*ARGUMENTS, "address_map", "RequestBufferSize", "MaxActiveTransactions"):
        assert len({row[column] for row in rows}) > 1, column
    assert {int(row["n_requests"]) for row in rows} == {1000, 10_000}
    files = [path for path in SAMPLE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 400_000


def test_every_metric_of_the_reference_is_compared(comparisons: list[Comparison]) -> None:
    rows = read_rows(SAMPLE)
    groups = {group_of(row) for row in rows}
    times = [c for c in comparisons if c.metric == "total_time_ns"]
    assert {c.group for c in times} == groups
    assert sum(len(c.rows) for c in times) == len(rows)
    with_energy = {c.group for c in comparisons if c.metric == "energy_pj"}
    assert with_energy == {group for group in groups if group.startswith("DDR")}
    counted = {c.metric for c in comparisons if c.metric.startswith("n_")}
    assert counted == {
        *("n_act", "n_pre", "n_prea", "n_rd", "n_rda", "n_wr", "n_wra"),
        *("n_refa", "n_refb", "n_pdea", "n_pdep"),
    }


def test_command_traces_agree() -> None:
    runs = {run.name: run for run in compare_commands(SAMPLE)}
    assert len(runs) == 7
    for name, run in runs.items():
        # After some thousand cycles, two events at the same instant may come in the other order.
        least = 1000 if "PowerDown" in name or name.startswith("HBM2") else run.total
        assert run.agreed >= least, run.difference


# --- The comparison itself ------------------------------------------------------------------------


def _comparison(ours: list[float], theirs: list[float], **changes: object) -> Comparison:
    fields: dict[str, object] = {"group": "DDR3-1600", "metric": "total_time_ns", "rounding": 0.5}
    return Comparison(
        rows=tuple(f"row {i}" for i in range(len(ours))),
        ours=np.array(ours),
        theirs=np.array(theirs),
        **fields | changes,  # type: ignore[arg-type]
    )


def test_errors_are_relative_to_the_reference() -> None:
    c = _comparison([100, 100.4, 101, np.nan, 3], [100, 100, 100, 100, 0])
    assert c.exact.tolist() == [True, True, False, False, False]
    assert c.errors.tolist() == pytest.approx([0, 0, 0.01, 1, 3])
    assert (c.worst, c.worst_row) == (3, "row 4")
    assert c.share_within(0.01) == pytest.approx(3 / 5)
    hundred = _comparison([100.0] * 99 + [200.0], [100.0] * 100)
    assert hundred.p99 == pytest.approx(0.01)  # between the last but one and the last


@pytest.mark.parametrize(
    ("group", "metric", "errors", "failures"),
    [
        ("DDR3-1600", "total_time_ns", [0.0] * 99 + [0.005], 0),
        ("DDR3-1600", "total_time_ns", [0.0] * 98 + [0.001] * 2, 1),
        ("DDR3-1600", "total_time_ns", [0.0] * 99 + [0.0051], 1),
        ("DDR4-2400", "total_time_ns", [0.0] * 98 + [0.001] * 2, 0),
        ("LPDDR4-3200", "total_time_ns", [0.0] * 97 + [0.001] * 3, 1),
        ("LPDDR4-3200 per-bank", "total_time_ns", [0.01] * 100, 0),
        ("HBM2", "total_time_ns", [0.011] * 100, 1),
        ("DDR3-1600", "energy_pj", [0.0] * 90 + [0.001] * 10, 0),
        ("DDR3-1600", "energy_pj", [0.0] * 89 + [0.001] * 11, 1),
        ("DDR3-1600", "energy_pj", [0.0] * 97 + [0.0031] * 3, 1),
        ("DDR3-1600-2rank", "energy_pj", [0.0] * 999 + [0.0051], 1),
        ("HBM2", "latency_mean_ns", [0.0] * 97 + [0.006] * 3, 1),
        ("HBM2", "latency_mean_ns", [0.0] * 999 + [0.9], 0),
        ("HBM2", "latency_p50_ns", [1.0] * 100, 0),
    ],
)
def test_tolerances(group: str, metric: str, errors: list[float], failures: int) -> None:
    theirs = [1e9] * len(errors)
    ours = [1e9 * (1 + error) for error in errors]
    verdicts = judge([_comparison(ours, theirs, group=group, metric=metric)])
    assert sum(not verdict.passed for verdict in verdicts) == failures


def test_energy_and_latency_are_judged_by_technology() -> None:
    plain = _comparison([1e6] * 95, [1e6] * 95, metric="energy_pj")
    asleep = _comparison([1.001e6] * 5, [1e6] * 5, metric="energy_pj", group="DDR3-1600 power-down")
    verdicts = judge([plain, asleep])
    assert all(verdict.passed for verdict in verdicts)
    assert "95.0000 %, at least 90 %" in verdicts[0].text


def test_a_sample_is_drawn_by_its_seed() -> None:
    rows = [dict(row) | {"cfg": f"{row['cfg']} {i}"} for i in range(3) for row in read_rows(SAMPLE)]
    chosen, _ = choose_sample(rows, [], 3)
    assert choose_sample(rows, [], 3) == (chosen, [])
    assert choose_sample(rows, [], 4) != (chosen, [])
    assert [row for row in rows if row in chosen] == chosen
    for column in ("mem", *KNOBS, *ARGUMENTS):
        assert {row[column] for row in chosen} == {row[column] for row in rows}


# --- The command ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five rows of the sample and what they need."""
    plain = (row for row in read_rows(SAMPLE) if group_of(row) == "DDR3-1600")
    rows = [row for row in plain if row["trace"] == "stream_sat_1k"][:5]
    with (tmp_path / "golden.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "traces").mkdir()
    trace = gzip.decompress((SAMPLE / "traces" / "stream_sat_1k.stl.gz").read_bytes())
    (tmp_path / "traces" / "stream_sat_1k.stl").write_bytes(trace)
    shutil.copytree(SAMPLE / "address_maps", tmp_path / "address_maps")
    return tmp_path


def _edit(folder: Path, change: Callable[[str], str]) -> None:
    path = folder / "golden.csv"
    path.write_text(change(path.read_text()))


def test_replay_prints_a_table_and_the_tolerances(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dram", str(folder)]) == 0
    out, _ = capsys.readouterr()
    assert re.search(r"DDR3-1600 +rows +exact +p99 +worst +worst row", out)
    assert re.search(r"total_time_ns +5 +100\.00 % +0\.0000 % +0\.0000 %  -", out)
    assert re.search(r"pass  DDR3-1600 +total_time_ns +exact +100\.0000 %, at least 99 %", out)
    assert "command traces" not in out


def test_replay_exits_with_1_past_a_tolerance(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = read_rows(folder)[2]
    off = str(round(1.02 * int(row["total_time_ps"])))
    _edit(
        folder,
        lambda text: text.replace(f"{row['cfg']},", "changed,").replace(
            f",{row['total_time_ps']},", f",{off},", 1
        ),
    )
    assert main(["dram", str(folder), "--verbose", "--threads", "1"]) == 1
    out, _ = capsys.readouterr()
    assert re.search(r"FAIL  DDR3-1600 +total_time_ns +worst +1\.96\d\d %, at most 0\.5 %", out)
    assert re.search(r"DDR3-1600  total_time_ns  \S+/stream_sat_1k  ours \d+  theirs " + off, out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text.replace(",Scheduler,", ",Schedular,"),
            "golden.csv: column 'Scheduler' is missing. Did you mean 'Schedular'?",
        ),
        (
            lambda text: text.replace("DDR3-1600,", "DDR3-1601,", 1),
            "golden.csv, line 2: unknown technology 'DDR3-1601'. Did you mean 'DDR3-1600'?",
        ),
        (
            lambda text: text.replace("NoPowerDown", "NoPowerdown", 1),
            "line 2: DDR3-1600: PowerDownPolicy has no value 'NoPowerdown'. Did you mean 'NoPo",
        ),
        (
            lambda text: re.sub("AllBank|NoRefresh", "PerBank", text, count=1),
            "line 2: DDR3-1600: RefreshPolicy has no value 'PerBank'. ",
        ),
        (
            lambda text: text.replace(",1000,", ",1e3,", 1),
            "line 2: n_requests must be a whole number below 1e9, got '1e3'.",
        ),
        (
            lambda text: text.replace(",1000,", ",999,"),
            "n_requests is 999, but trace",
        ),
        (
            lambda text: text.replace(",800,", ",0,", 1),
            "line 2: player_clk_MHz must be from 1 to 1e5, got '0'.",
        ),
        (
            lambda text: re.sub(r",(\d+\.\d),", ",nan,", text, count=1),
            "line 2: energy_pJ must be finite, got 'nan'.",
        ),
        (
            lambda text: re.sub(r",(\d+\.\d),", ",much,", text, count=1),
            "line 2: energy_pJ must be a number, got 'much'.",
        ),
        (
            lambda text: text.splitlines()[0] + "\nA,DDR3-1600\n",
            "line 2: the line has more or fewer values than there are columns.",
        ),
        (lambda text: text.splitlines()[0] + "\n", "golden.csv: has no row."),
        (
            lambda text: text.replace("stream_sat_1k", "stream_sat_2k"),
            "traces: has no stream_sat_2k.stl and no stream_sat_2k.stl.gz",
        ),
        (
            lambda text: text.replace("rbc.json", "rbx.json"),
            "address_maps: has no am_ddr3_8x1Gbx8_dimm_p1KB_rbx.json.",
        ),
        (
            lambda text: text.replace("am_ddr3_8x1Gbx8_dimm_p1KB_rbc.json", "kit_ddr4_rbc.json"),
            "does not fit DDR3-1600",
        ),
    ],
)
def test_replay_exits_with_2_for_a_folder_it_cannot_read(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[str], str],
    message: str,
) -> None:
    _edit(folder, change)
    assert main(["dram", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err


def test_replay_needs_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dram", str(tmp_path / "none")]) == 2
    assert "none: has no golden.csv and no golden.csv.gz." in capsys.readouterr().err
    (tmp_path / "golden.csv.gz").write_bytes(b"no gzip")
    assert main(["dram", str(tmp_path)]) == 2
    assert "golden.csv.gz: cannot be read: Not a gzipped file" in capsys.readouterr().err


def test_command_traces_need_their_row(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(SAMPLE / "command_traces", folder / "command_traces")
    assert main(["dram", str(folder)]) == 2
    assert "the table has no row ('A_base', 'DDR3-1600', 'random_sat_1k')" in (
        capsys.readouterr().err
    )
    (folder / "command_traces" / "index.json").write_text("[{}]")
    assert main(["dram", str(folder)]) == 2
    assert "index.json: not a list of runs" in capsys.readouterr().err


def test_sample_writes_a_folder_that_replays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "sample"
    assert main(["sample", str(SAMPLE), str(target), "--seed", "1"]) == 0
    rows, all_rows = read_rows(target), read_rows(SAMPLE)
    assert f"{len(rows)} rows in {target}" in capsys.readouterr().out
    assert 0 < len(rows) <= len(all_rows)
    assert all(row in all_rows for row in rows)
    assert len(compare_commands(target)) == 7
