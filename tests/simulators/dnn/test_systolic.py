"""The array against hand-made numbers, a walk over the folds, and runs of SCALE-Sim."""

import csv
import gzip
import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.errors import ConfigError
from archgym_py.simulators.dnn.layers import Layer
from archgym_py.simulators.dnn.systolic import (
    DATAFLOWS,
    Gemm,
    SystolicCounts,
    dram_traffic,
    gemm_of,
    systolic_counts,
)
from tests.golden.replay_dnn import Finding, describe, read_rows, replay

GOLDEN = Path(__file__).parents[2] / "golden" / "dnn"
SIDES = st.integers(1, 9)
DIMS = st.integers(1, 20)
PROBLEMS = st.tuples(SIDES, SIDES, st.sampled_from(DATAFLOWS), DIMS, DIMS, DIMS)
ROOMY = 2**40


def _ints(counts: SystolicCounts, *names: str) -> list[int]:
    return [int(getattr(counts, name)) for name in names]


def _reads(counts: SystolicCounts) -> list[int]:
    return _ints(counts, "ifmap_reads", "filter_reads")


def _outputs(counts: SystolicCounts) -> list[int]:
    return _ints(counts, "ofmap_writes", "ofmap_reads")


def test_every_run_of_scale_sim_is_reproduced() -> None:
    findings = replay(read_rows(GOLDEN), ["scalesim-compute", "scalesim-full"])
    assert len({finding.case for finding in findings}) > 500
    assert all(finding.error == 0 for finding in findings), describe(findings)


# ---- the comparison itself -----------------------------------------------------------------------


def _row(**changes: str) -> dict[str, str]:
    """A run of SCALE-Sim, from its own output."""
    return {
        "case_id": "gemm",
        "kind": "scalesim-full",
        "arch_json": '{"cols":32,"dataflow":"is","rows":8}',
        "layer_json": '{"K":9,"M":784,"N":1,"name":"dw3x3_28","spec":"30|30|3|3|1|1|1"}',
        "mapping_json": "",
        "valid": "1",
        "cycles": "2349",
        "energy_pJ": "",
        "utilization_pct": "1.1733716475095786",
        "area_um2": "",
        "levels_json": '{"dram_filter_reads":9,"dram_ifmap_reads":900,"dram_ofmap_writes":1568,'
        '"sram_filter_reads":225,"sram_ifmap_reads":7056,"sram_ofmap_writes":1568}',
        "extra_json": '{"compute_util_pct":"0.7067307692307693","mapping_efficiency_pct":"55.125"}',
        **changes,
    }


def _write(folder: Path, *rows: dict[str, str]) -> Path:
    with gzip.open(folder / "golden.csv.gz", "wt", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_rows_become_findings(tmp_path: Path) -> None:
    compute = _row(
        kind="scalesim-compute",
        utilization_pct="0.706731",
        cycles="2350",
        levels_json='{"sram_filter_reads":225,"sram_ifmap_reads":7056,"sram_ofmap_writes":1568}',
        extra_json='{"mapping_efficiency_pct":55.125}',
    )
    other = _row(kind="timeloop-fixed-link", mapping_json="x" * 200_000)  # longer than csv's limit
    limit = csv.field_size_limit()
    findings = replay(read_rows(_write(tmp_path, _row(), compute, other)))
    assert csv.field_size_limit() == limit
    assert len(findings) == 10 + 6
    (wrong,) = (finding for finding in findings if finding.error)
    assert (wrong.kind, wrong.quantity) == ("scalesim-compute", "cycles")
    assert (wrong.ours, wrong.theirs, wrong.passed) == (2349, 2350, False)
    table = describe(findings)
    assert re.search(r"scalesim-full +rows +exact +worst  rule +worst row", table)
    assert re.search(r"dram_ifmap_reads +1 +100\.00 % +0\.0000 %  equal +-$", table, re.MULTILINE)
    assert re.search(r"cycles +1 +0\.00 % +0\.0426 %  equal +gemm  FAIL", table)


@pytest.mark.parametrize(
    ("finding", "error", "passed"),
    [
        (Finding("k", "c", "q", 101.0, 100.0), 0.01, False),
        (Finding("k", "c", "q", 101.0, 100.0, tolerance=0.01), 0.01, True),
        (Finding("k", "c", "q", 100.4, 100.0, rounding=0.5), 0.0, True),
        (Finding("k", "c", "q", 2.0, 0.0), 2.0, False),
        (Finding("k", "c", "q", 90.0, 100.0, "at most"), 0.0, True),
        (Finding("k", "c", "q", 110.0, 100.0, "at most"), 0.1, False),
        (Finding("k", "c", "q", 0.9, 0.8, "at least"), 0.0, True),
        (Finding("k", "c", "q", 0.6, 0.8, "at least"), 0.25, False),
        (Finding("k", "c", "q", math.nan, 0.8, "at least"), math.inf, False),
    ],
)
def test_rules(finding: Finding, error: float, passed: bool) -> None:
    assert finding.error == pytest.approx(error)
    assert finding.passed is passed


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"golden.csv.gz: cannot be read: "):
        read_rows(tmp_path)
    (tmp_path / "golden.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(ConfigError, match=r"golden.csv.gz: cannot be read: Not a gzipped file"):
        read_rows(tmp_path)
    lacking = {("case" if name == "case_id" else name): text for name, text in _row().items()}
    with pytest.raises(ConfigError, match=r"column 'case_id' is missing. Did you mean 'case'"):
        read_rows(_write(tmp_path, lacking))
    with pytest.raises(ConfigError, match="cannot be read: field larger than field limit"):
        read_rows(_write(tmp_path, _row(mapping_json="x" * (2**24 + 1))))
    head = ",".join(_row()) + "\n"
    with gzip.open(tmp_path / "golden.csv.gz", "wt") as file:
        file.write(head)
    with pytest.raises(ConfigError, match="has no row"):
        read_rows(tmp_path)
    with gzip.open(tmp_path / "golden.csv.gz", "wt") as file:
        file.write(f"{head}1,2\n")
    with pytest.raises(ConfigError, match="row 2: has more or fewer values"):
        read_rows(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arch_json": "{"}, "gemm: arch_json is not JSON"),
        ({"arch_json": "{}"}, "a row of kind 'scalesim-full' cannot be understood: KeyError"),
        ({"cycles": "many"}, "cannot be understood: ValueError"),
        ({"levels_json": "3"}, "cannot be understood: TypeError"),
        ({"layer_json": '{"K":9,"M":7,"N":1,"name":"l","spec":"7|1|8"}'}, r"7\|1\|8 is Gemm"),
    ],
)
def test_rows_that_cannot_be_understood(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replay([_row(**changes)])


def test_kinds_have_to_be_known() -> None:
    with pytest.raises(ConfigError, match="nothing replays the kind 'scalesim'"):
        replay([_row()], ["scalesim"])
    assert replay([]) == []
    assert describe([]) == ""


# ---- layers as matrix products -------------------------------------------------------------------


def test_layers_are_matrix_products() -> None:
    conv = Layer(name="c", op="conv", N=2, G=3, M=8, C=4, P=6, Q=5, R=3, S=2)
    assert gemm_of(conv) == Gemm(m=60, n=8, k=24, copies=3, inputs=2 * 4 * 8 * 6)
    assert gemm_of(conv).macs == conv.macs
    depthwise = Layer(name="d", op="depthwise", G=32, P=7, Q=7, R=3, S=3, stride_p=2, stride_q=2)
    assert gemm_of(depthwise) == Gemm(m=49, n=1, k=9, copies=32, inputs=15 * 15)
    heads = Layer(name="a", op="gemm", G=12, M=64, C=128, P=100, weight_operand="activation")
    assert gemm_of(heads) == Gemm(m=100, n=64, k=128, copies=12, inputs=100 * 128)


def test_inputs_that_no_window_touches_are_not_fetched() -> None:
    sparse = Layer(name="s", op="conv", M=8, C=4, P=5, Q=5, stride_p=2, stride_q=3)
    assert gemm_of(sparse).inputs == 4 * 5 * 5


@given(*(st.integers(1, 12) for _ in range(4)))
def test_distinct_inputs_are_those_of_all_windows(p: int, stride: int, r: int, step: int) -> None:
    layer = Layer(name="l", op="conv", P=p, R=r, stride_p=stride, dilation_r=step)
    touched = {a * stride + b * step for a in range(p) for b in range(r)}
    assert gemm_of(layer).inputs == len(touched)


# ---- cycles and accesses -------------------------------------------------------------------------


def test_one_fold_takes_as_long_as_its_last_operand_travels() -> None:
    # Output stationary: operand k meets cell (i, j) in cycle k + i + j.
    last = max(k + i + j for k, i, j in itertools.product(range(5), range(3), range(4)))
    assert systolic_counts(3, 4, "os", 3, 4, 5).cycles == last + 1
    # Weight stationary: three cycles to load the rows, then input m reaches cell (i, j) after
    # m + i + j more.
    last = 3 + max(m + i + j for m, i, j in itertools.product(range(5), range(3), range(4)))
    assert systolic_counts(3, 4, "ws", 5, 4, 3).cycles == last + 1
    assert systolic_counts(3, 4, "is", 4, 5, 3).cycles == last + 1


def test_values_by_hand() -> None:
    # 10 x 7 outputs on 4 x 4 cells: 3 x 2 folds of 5 + 4 + 4 - 2 cycles.
    counts = systolic_counts(4, 4, "os", 10, 7, 5)
    assert counts.cycles == 66
    assert _reads(counts) == [10 * 5 * 2, 5 * 7 * 3]
    assert _outputs(counts) == [70, 0]
    assert counts.mapping_efficiency == pytest.approx(70 / (6 * 16))
    assert counts.compute_utilization == pytest.approx(350 / (16 * 66))
    # 5 x 7 weights: 2 x 2 folds of 10 + 2 * 4 + 4 - 2 cycles.
    counts = systolic_counts(4, 4, "ws", 10, 7, 5)
    assert counts.cycles == 80
    assert _reads(counts) == [10 * 5 * 2, 35]
    assert _outputs(counts) == [140, 70]
    # 5 x 10 inputs: 2 x 3 folds of 7 + 2 * 4 + 4 - 2 cycles.
    counts = systolic_counts(4, 4, "is", 10, 7, 5)
    assert counts.cycles == 102
    assert _reads(counts) == [50, 5 * 7 * 3]
    assert _outputs(counts) == [140, 70]


def test_what_scale_sim_prints() -> None:
    problem = (4, 4, DATAFLOWS, 10, 7, 5)
    clean, printed = systolic_counts(*problem), systolic_counts(*problem, compat=True)
    assert (clean.cycles - printed.cycles).tolist() == [1, 1, 1]
    assert (printed.ofmap_writes - clean.ofmap_writes).tolist() == [6 * (4 + 4), 0, 0]
    busy = [6 * 11, 4 * (10 + 13), 6 * (7 + 13)]
    assert printed.compute_utilization.tolist() == pytest.approx([350 / 16 / b for b in busy])


@given(PROBLEMS)
def test_a_walk_over_the_folds(problem: tuple[int, int, str, int, int, int]) -> None:
    rows, columns, dataflow, m, n, k = problem
    along = {"os": (m, n, k), "ws": (k, n, m), "is": (k, m, n)}[dataflow]
    ifmap = weights = outputs = held = folds = 0
    for top in range(0, along[0], rows):
        for left in range(0, along[1], columns):
            height, width = min(rows, along[0] - top), min(columns, along[1] - left)
            folds += 1
            held += height * width
            stationary, from_rows, at_columns = (
                height * width,
                height * along[2],
                width * along[2],
            )
            if dataflow == "os":
                ifmap, weights = ifmap + from_rows, weights + at_columns
                outputs += stationary
            elif dataflow == "ws":
                ifmap, weights = ifmap + from_rows, weights + stationary
                outputs += at_columns
            else:
                ifmap, weights = ifmap + stationary, weights + from_rows
                outputs += at_columns
    counts = systolic_counts(*problem)
    assert _reads(counts) == [ifmap, weights]
    assert _outputs(counts) == [outputs, outputs - m * n]
    assert counts.mapping_efficiency == pytest.approx(held / (folds * rows * columns))
    # The array cannot be faster than its multipliers, nor than one fold of full skew.
    assert counts.cycles * rows * columns >= m * n * k
    assert counts.cycles >= folds * (along[2] + rows + columns - 2)
    assert 0 < counts.compute_utilization <= counts.mapping_efficiency <= 1


@given(PROBLEMS, st.sampled_from(["m", "n", "k"]))
def test_a_larger_product_takes_no_less(
    problem: tuple[int, int, str, int, int, int], grown: str
) -> None:
    rows, columns, dataflow, *dims = problem
    more = [size + (name == grown) for size, name in zip(dims, "mnk", strict=True)]
    small = systolic_counts(rows, columns, dataflow, *dims)
    large = systolic_counts(rows, columns, dataflow, *more)
    for name in ("cycles", "ifmap_reads", "filter_reads", "ofmap_writes", "ofmap_reads"):
        assert getattr(small, name) <= getattr(large, name)


# ---- DRAM traffic --------------------------------------------------------------------------------


def _traffic(
    dataflow: str, *, ifmap: int = ROOMY, weights: int = ROOMY, ofmap: int = ROOMY
) -> list[int]:
    """Words of a 10 x 5 by 5 x 7 product on 4 x 4 cells; in, weights, out, back."""
    traffic = dram_traffic(
        *(4, 4, dataflow, 10, 7, 5),
        inputs=50,
        ifmap_words=ifmap,
        filter_words=weights,
        ofmap_words=ofmap,
    )
    words = (traffic.ifmap_reads, traffic.filter_reads, traffic.ofmap_writes, traffic.ofmap_reads)
    return [int(count) for count in words]


def test_each_word_moves_once_if_the_memories_are_large() -> None:
    for dataflow in DATAFLOWS:
        assert _traffic(dataflow) == [50, 35, 70, 0]


def test_traffic_of_small_memories_by_hand() -> None:
    # os: 3 x 2 folds; the inputs pass twice, and 5 x 4 weights serve 3 folds or are fetched again.
    assert _traffic("os", ifmap=100) == [50, 35, 70, 0]
    assert _traffic("os", ifmap=99) == [100, 35, 70, 0]
    assert _traffic("os", weights=40) == [50, 35, 70, 0]
    assert _traffic("os", weights=39) == [50, 105, 70, 0]
    assert _traffic("os", ofmap=0) == [50, 35, 70, 0]
    # ws: 2 x 2 folds; 10 x 4 sums of a column of folds stay or go out and come back.
    assert _traffic("ws", ifmap=99) == [100, 35, 70, 0]
    assert _traffic("ws", weights=0) == [50, 35, 70, 0]
    assert _traffic("ws", ofmap=80) == [50, 35, 70, 0]
    assert _traffic("ws", ofmap=79) == [50, 35, 140, 70]
    # is: 2 x 3 folds; all weights pass three times; the sums are 7 x 4.
    assert _traffic("is", ifmap=0) == [50, 35, 70, 0]
    assert _traffic("is", weights=70) == [50, 35, 70, 0]
    assert _traffic("is", weights=69) == [50, 105, 70, 0]
    assert _traffic("is", ofmap=56) == [50, 35, 70, 0]
    assert _traffic("is", ofmap=55) == [50, 35, 140, 70]


@given(PROBLEMS, *(st.integers(0, 900) for _ in range(4)))
def test_a_larger_memory_moves_no_more(
    problem: tuple[int, int, str, int, int, int], ifmap: int, weights: int, ofmap: int, more: int
) -> None:
    _, _, _, m, n, k = problem

    def words(extra: int) -> list[int]:
        traffic = dram_traffic(
            *problem,
            inputs=m * k,
            ifmap_words=ifmap + extra,
            filter_words=weights + extra,
            ofmap_words=ofmap + extra,
        )
        assert traffic.ofmap_writes - traffic.ofmap_reads == m * n
        return [int(traffic.ifmap_reads), int(traffic.filter_reads), int(traffic.ofmap_writes)]

    small, large = words(0), words(more)
    counts = systolic_counts(*problem)
    accesses = [int(counts.ifmap_reads), int(counts.filter_reads), int(counts.ofmap_writes)]
    for least, most, at_most, array in zip(
        [m * k, k * n, m * n], large, small, accesses, strict=True
    ):
        assert least <= most <= at_most <= array


def test_scale_sim_drains_every_fold() -> None:
    traffic = dram_traffic(
        *(4, 4, DATAFLOWS, 10, 7, 5),
        inputs=50,
        ifmap_words=ROOMY,
        filter_words=ROOMY,
        ofmap_words=ROOMY,
        compat=True,
    )
    assert traffic.ofmap_writes.tolist() == [70, 140, 140]
    assert traffic.ofmap_reads.tolist() == [0, 0, 0]


# ---- arrays of arguments -------------------------------------------------------------------------


def test_arguments_broadcast_and_equal_single_ones() -> None:
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(1, 60, (2, 5, 1))
    m, n, k = rng.integers(1, 300, (3, 7))
    batch = systolic_counts(rows, columns, [["ws"]], m, n, k)
    assert batch.cycles.shape == (5, 7)
    for i, j in np.ndindex(5, 7):
        alone = systolic_counts(rows[i, 0], columns[i, 0], "ws", m[j], n[j], k[j])
        for name in type(batch).__slots__:
            assert getattr(alone, name) == getattr(batch, name)[i, j]
    numbers = systolic_counts(rows, columns, 1, m, n, k)
    assert numbers.cycles.tolist() == batch.cycles.tolist()


def test_largest_products_do_not_overflow() -> None:
    counts = systolic_counts(2**16, 2**16, DATAFLOWS, 2**26, 2**26, 1)
    assert (counts.cycles > 0).all()
    assert (systolic_counts(1, 1, DATAFLOWS, 2**26, 2**26, 1).cycles > 0).all()


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        ((0, 8, "os", 1, 1, 1), "rows must be from 1 to 65536, got 0"),
        ((8, 2**16 + 1, "os", 1, 1, 1), "columns must be from 1 to 65536, got 65537"),
        ((8, 8, "os", [3, -1], 1, 1), "m must be from 1 to 2147483647, got -1"),
        ((8, 8, "os", 1, 2**31, 1), "n must be from 1 to 2147483647, got 2147483648"),
        ((8, 8, "os", 1, 1, 1.0), "k must be whole numbers, got the type float64"),
        ((8, 8, "oss", 1, 1, 1), "unknown dataflow 'oss'. Did you mean 'os'"),
        ((8, 8, ["os", "rs"], 1, 1, 1), "unknown dataflow 'rs'"),
        ((8, 8, 3, 1, 1, 1), "dataflow must be from 0 to 2, got 3"),
        ((8, 8, "os", [1, 2], [1, 2, 3], 1), r"broadcast to one shape, got rows \(\), columns"),
        ((8, 8, "os", 2**26, 2**26, 2), "9.007e[+]15 multiplications, more than the"),
    ],
)
def test_errors_name_the_rule_and_the_value(problem: tuple[object, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        systolic_counts(*problem)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"inputs": 51}, "inputs must be at most M K = 50, got 51"),
        ({"inputs": 0}, "inputs must be from 1"),
        ({"ifmap_words": -1}, "ifmap_words must be from 0"),
        ({"filter_words": 0.5}, "filter_words must be whole numbers"),
    ],
)
def test_errors_of_traffic(sizes: dict[str, float], message: str) -> None:
    legal = {"inputs": 50, "ifmap_words": 1, "filter_words": 1, "ofmap_words": 1}
    with pytest.raises(ConfigError, match=message):
        dram_traffic(4, 4, "os", 10, 7, 5, **(legal | sizes))  # type: ignore[arg-type]


def test_arguments_of_wrong_types() -> None:
    wrong: Any
    for wrong in ([[1, 2], [3]], "8", None, 8.0, True, {}):
        with pytest.raises(ConfigError, match="rows must be"):
            systolic_counts(wrong, 8, "os", 32, 32, 32)
    for wrong in ([["os"], ["ws", "is"]], None, 1.5):
        with pytest.raises(ConfigError, match="dataflow must be"):
            systolic_counts(8, 8, wrong, 32, 32, 32)
    for wrong in (1, None, "yes"):
        with pytest.raises(ConfigError, match="compat must be True or False"):
            systolic_counts(8, 8, "os", 32, 32, 32, compat=wrong)
