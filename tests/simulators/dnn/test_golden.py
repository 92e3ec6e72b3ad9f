"""The models against the recorded runs in tests/golden/dnn, by `replay.py` there."""

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archgym_py.errors import ConfigError
from archgym_py.simulators.dnn.dataflows import ROW_STATIONARY, SIMBA
from archgym_py.simulators.dnn.eyeriss import PUBLISHED_DEFAULT
from archgym_py.simulators.dnn.layers import DIMS
from archgym_py.simulators.dnn.mapper import Mapper
from archgym_py.simulators.dnn.model import Mapping
from archgym_py.simulators.dnn.networks import load_network
from archgym_py.simulators.dnn.simba import SIMBA_ARCHITECTURE
from tests.golden.replay import main
from tests.golden.replay_dnn import (
    KINDS,
    NOT_COMPARED,
    Finding,
    choose_sample,
    describe,
    describe_left_out,
    group_of,
    judge,
    read_rows,
    replay,
    write_sample,
)
from tests.golden.replay_dnn_loops import found_mapping
from tests.golden.replay_dnn_rank import rank_correlation
from tests.golden.replay_dnn_rows import Row, write_rows

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "tests" / "golden" / "dnn"


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return read_rows(SAMPLE)


@pytest.fixture(scope="module")
def findings(rows: list[Row]) -> list[Finding]:
    return replay(rows)


def test_the_sample_is_reproduced(findings: list[Finding]) -> None:
    binding = [finding for finding in findings if finding.binding]
    assert all(finding.passed for finding in binding), describe(findings)
    counts = {"reads", "fills", "updates", "tile", "instances", "partition", "energy_pJ", "valid"}
    assert all(finding.error == 0 for finding in binding if finding.quantity in counts)
    assert all(verdict.passed for verdict in judge(binding))


def test_layers_rank_as_in_other_tools(findings: list[Finding]) -> None:
    ranks = [finding for finding in findings if not finding.binding]
    assert {finding.kind for finding in ranks} == {"zigzag-loma6", "maestro-dataflow"}
    assert len(ranks) == 9
    assert min(finding.ours for finding in ranks) > 0.7
    assert sum(finding.passed for finding in ranks) >= 7


def test_the_sample_has_every_kind_and_group(rows: list[Row], findings: list[Finding]) -> None:
    assert {row["kind"] for row in rows} == {*KINDS, *NOT_COMPARED}
    assert {finding.kind for finding in findings} == set(KINDS)
    for kind in KINDS:
        if kind not in ("zigzag-loma6", "maestro-dataflow"):
            names = {row["case_id"] for row in rows if row["kind"] == kind}
            assert names <= {finding.case for finding in findings if finding.kind == kind}
    of_capacity = {row["valid"] for row in rows if row["kind"] == "timeloop-capacity"}
    assert of_capacity == {"0", "1"}
    reasons = {group_of(row)[1] for row in rows if row["kind"] == "agenv"}
    assert reasons == {"", "no_fanout", "cacti_abort", "empty_mapspace"}
    assert (SAMPLE / "golden.csv.gz").stat().st_size < 60_000


def test_the_published_default_design(findings: list[Finding]) -> None:
    published = {
        finding.quantity: (finding.case, finding.ours)
        for finding in findings
        if finding.quantity.startswith("published")
    }
    case = "AlexNet, our mappings"
    assert published == {
        "published cycles": (case, 7885704),
        "published energy_uJ": (case, pytest.approx(6206.5, abs=0.05)),
        "published area_mm2": (case, pytest.approx(2.026, abs=0.0005)),
    }


# --- The comparison itself ------------------------------------------------------------------------


def _row(rows: list[Row], kind: str, suffix: str = "", **fields: str) -> dict[str, str]:
    """The first row of a kind, with a name that ends so and with these values."""
    return next(
        dict(row)
        for row in rows
        if row["kind"] == kind and row["case_id"].endswith(suffix) and fields.items() <= row.items()
    )


def _with(row: dict[str, str], column: str, change: Callable[[Any], None]) -> dict[str, str]:
    """The row with a change in a column of JSON."""
    content = json.loads(row[column])
    change(content)
    return {**row, column: json.dumps(content)}


def _scaled(row: dict[str, str], column: str, factor: float) -> dict[str, str]:
    return {**row, column: repr(float(row[column]) * factor)}


def _failed(*rows: dict[str, str]) -> set[str]:
    return {finding.quantity for finding in replay(rows) if not finding.passed}


@pytest.mark.parametrize("kind", ["timeloop-fixed", "timeloop-fixed-bw", "timeloop-fixed-dw"])
def test_every_number_of_a_given_mapping_counts(rows: list[Row], kind: str) -> None:
    row = _row(rows, kind)
    assert _failed(row) == set()
    (cycles,) = (int(finding.ours) for finding in replay([row]) if finding.quantity == "cycles")
    assert _failed({**row, "valid": "0"}) == {"valid"}
    assert "cycles" not in _failed({**row, "cycles": str(cycles + 1)})
    assert "cycles" in _failed({**row, "cycles": str(cycles + 2)})
    assert "cycles" in _failed({**row, "cycles": str(cycles - 2)})
    assert "cycles" in _failed({**row, "cycles": "inf"})
    assert _failed(_scaled(row, "energy_pJ", 1.00001)) == {"energy_pJ"}
    assert _failed(_scaled(row, "utilization_pct", 1.1)) == {"utilization_pct"}
    names = {"reads": "reads", "fills": "fills", "updates": "updates"}
    names |= {"cap": "tile", "inst": "instances", "part": "partition"}
    for name, quantity in names.items():

        def grow(levels: Any, name: str = name) -> None:
            levels["DRAM"]["tensors"]["Outputs"][name] += 1

        assert _failed(_with(row, "levels_json", grow)) == {quantity}

    def dearer(levels: Any) -> None:
        levels["DRAM"]["energy_pJ"] *= 1.00001

    def without(levels: Any) -> None:
        del levels["DRAM"]["tensors"]["Outputs"]

    assert _failed(_with(row, "levels_json", dearer)) == {"level energy_pJ"}
    assert _failed(_with(row, "levels_json", without)) >= {"updates"}


def test_the_limits_of_capacity_count(rows: list[Row]) -> None:
    for valid in "01":
        row = _row(rows, "timeloop-capacity", valid=valid)
        assert _failed(row) == set()
        assert _failed({**row, "valid": "01"[valid == "0"]}) == {"valid"}


@pytest.mark.parametrize("kind", ["mapper-archgym", "mapper-thorough", "mapper-simba-medium"])
def test_mappings_of_the_tool_count(rows: list[Row], kind: str) -> None:
    row = _row(rows, kind)
    assert _failed(row) == set()
    assert _failed({**row, "valid": "0"}) == {"valid"}
    assert _failed(_scaled(row, "area_um2", 1.001)) == {"area_um2"}
    fewer = str(int(row["cycles"]) - 1)
    assert _failed({**row, "cycles": fewer}) == {"best cycles"}
    assert _failed(_scaled(row, "energy_pJ", 1.0001)) == {"energy_pJ"}
    assert "best energy" in _failed(_scaled(row, "energy_pJ", 0.1))

    def grow(levels: Any) -> None:
        levels["DRAM"]["tensors"]["Weights"]["reads"] += 1

    assert _failed(_with(row, "levels_json", grow)) == {"reads"}

    def rename(content: Any) -> None:
        content["text"] = content["text"].replace("for C in", "for M in")

    with pytest.raises(ConfigError, match="directives and its text differ"):
        replay([_with(row, "mapping_json", rename)])

    def other(content: Any) -> None:
        content["template"] = "eyeriss_like"

    with pytest.raises(ConfigError, match=r"unknown template .eyeriss_like.* Did you mean"):
        replay([_with(row, "arch_json", other)])


def test_a_mapping_that_does_not_fit_is_a_failure(rows: list[Row]) -> None:
    row = _row(rows, "mapper-archgym", "AlexNet_layer3")

    def inwards(content: Any) -> None:
        text = content["text"].replace("for M in [0:8)", "for M in [0:2)")
        content["text"] = text.replace("for M in [0:6)", "for M in [0:24)")
        for directive in content["yaml"]["mapping"]:
            if directive["target"] == "psum_spad" and directive["type"] == "temporal":
                directive["factors"] = directive["factors"].replace("M6", "M24")
            if directive["target"] == "DRAM" and directive["type"] == "temporal":
                directive["factors"] = directive["factors"].replace("M8", "M2")

    assert _failed(_with(row, "mapping_json", inwards)) == {"valid"}


def test_random_designs_count(rows: list[Row]) -> None:
    row = _row(rows, "agenv", valid="1")
    assert _failed(row) == set()
    assert _failed({**row, "valid": "0"}) == {"valid"}
    assert _failed({**row, "cycles": "1000"}) == {"cycles"}
    assert _failed(_scaled(row, "area_um2", 1.001)) == {"area_um2"}

    def fewer(layers: Any) -> None:
        layers[3]["cycles"] = 1000

    def cheaper(layers: Any) -> None:
        layers[3]["energy_uJ"] = 1.0

    def price(extra: Any) -> None:
        extra["energy_tables_pJ"]["system.eyeriss.shared_glb"]["write"] *= 1.001

    def aborted(extra: Any) -> None:
        extra["reason"] = "cacti_abort"

    def swapped(layers: Any) -> None:
        layers.reverse()

    assert _failed(_with(row, "levels_json", fewer)) == {"layer cycles"}
    tie = _row(rows, "agenv", "-10")
    assert _failed(_with(tie, "levels_json", cheaper)) == {"layer energy"}
    assert _failed(_with(row, "extra_json", price)) == {"access energy_pJ"}
    assert _failed(_with(row, "extra_json", aborted)) == {"priced"}
    with pytest.raises(ConfigError, match=r"layer 'AlexNet_layer5.yaml' is not 'layer1'"):
        replay([_with(row, "levels_json", swapped)])
    for other in rows:
        if other["kind"] == "agenv" and other["valid"] == "0":
            assert _failed({**other, "valid": "1"}) >= {"valid"}
            break


def _recorded(mapping: Mapping, names: list[str]) -> dict[str, Any]:
    """A mapping as the tool writes it."""
    directives: list[dict[str, Any]] = []
    text = ""
    for name, level in zip(reversed(names), reversed(mapping.levels), strict=True):
        text += f"{name} [ {' '.join(f'{tensor}:1 (1)' for tensor in level.keep)} ] \n"
        directives.append({"type": "datatype", "target": name, "keep": list(level.keep)})
        x, y = level.spatial_x, level.spatial_y
        for kind, loops in (("temporal", level.temporal), ("spatial", (*x, *y))):
            factors = dict.fromkeys(DIMS, 1) | dict(loops)
            order = "".join(dim for dim, _ in loops)
            directives.append(
                {
                    "type": kind,
                    "target": name,
                    "factors": " ".join(f"{dim}{factor}" for dim, factor in factors.items()),
                    "permutation": order + "".join(dim for dim in DIMS if dim not in order),
                    "split": len(x),
                }
            )
        for loops, side in ((level.temporal, ""), (x, " (Spatial-X)"), (y, " (Spatial-Y)")):
            for dim, factor in reversed(loops):
                text += f"| for {dim} in [0:{factor})" * (factor > 1) + f"{side * (factor > 1)}\n"
    return {"text": text, "yaml": {"mapping": directives}}


def test_the_published_mappings_are_added_up_if_they_are_there(rows: list[Row]) -> None:
    # Ours stand for the published ones: as many cycles and less energy, by the rule of 2022.
    template = _row(rows, "mapper-archgym", "AlexNet_layer3")
    names = [level.name for level in PUBLISHED_DEFAULT.levels]
    made = []
    for layer in load_network("archgym_alexnet").layers:
        found = Mapper(ROW_STATIONARY).map(layer, PUBLISHED_DEFAULT)
        sizes = {dim: getattr(layer, dim) for dim in "NMCPQRS"}
        stride = {"Wstride": layer.stride_p, "Hstride": layer.stride_q}
        shape = {**sizes, **stride, "Wdilation": 1, "Hdilation": 1, "name": layer.name}
        mapping = json.dumps(_recorded(found.mapping, names))
        made.append({**template, "layer_json": json.dumps(shape), "mapping_json": mapping})
        assert found_mapping(made[-1], PUBLISHED_DEFAULT) == found.mapping
    case = "AlexNet, published mappings"
    both = {finding.quantity: finding for finding in replay(made) if finding.case == case}
    assert both["published cycles"].passed
    assert both["published area_mm2"].passed
    energy = both["published energy_uJ"]
    assert (energy.passed, energy.theirs, round(energy.ours, 1)) == (False, 29206.0, 6220.5)
    assert not any(finding.case == case for finding in replay(made[1:]))


def test_ranks() -> None:
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 50]) == pytest.approx(1)
    assert rank_correlation([4, 3, 2, 1], [10, 20, 30, 50]) == pytest.approx(-1)
    assert rank_correlation([1, 1, 2, 2], [1, 2, 3, 3]) == pytest.approx(0.9428, abs=1e-4)


@pytest.mark.parametrize("kind", ["zigzag-loma6", "maestro-dataflow"])
def test_other_orders_of_layers_are_told_but_do_not_bind(rows: list[Row], kind: str) -> None:
    members = [dict(row) for row in rows if row["kind"] == kind]
    turned = [_scaled(row, "cycles", -1.0) for row in members]
    found = replay(turned)
    assert found
    assert all(finding.ours < -0.7 and not finding.passed for finding in found)
    assert {verdict.binding for verdict in judge(found)} == {False}
    assert "below the bar" in describe(found)
    equal = replay([{**row, "cycles": "7"} for row in members])
    assert not any(finding.passed for finding in equal)
    assert replay(members[:4]) == []


def test_a_sample_is_drawn_by_its_seed(rows: list[Row], tmp_path: Path) -> None:
    many = [{**row, "case_id": f"{row['case_id']} {i}"} for i in range(2) for row in rows]
    chosen = choose_sample(many, 3)
    assert choose_sample(many, 3) == chosen
    assert choose_sample(many, 4) != chosen
    assert [row for row in many if row in chosen] == chosen
    assert {group_of(row) for row in chosen} == {group_of(row) for row in rows}
    for folder in ("a", "b"):
        assert write_sample(SAMPLE, tmp_path / folder, 0) == len(rows)
    written = [(tmp_path / folder / "golden.csv.gz").read_bytes() for folder in ("a", "b")]
    assert written[0] == written[1]
    assert read_rows(tmp_path / "a") == rows


# --- The accelerator of the mapper's rows ---------------------------------------------------------


def test_simba() -> None:
    levels = {level.name: level for level in SIMBA_ARCHITECTURE.levels}
    assert [level.instances for level in levels.values()] == [256, 64, 64, 16, 1, 1]
    assert SIMBA_ARCHITECTURE.fanout_x == (1, 1, 1, 1, 16, 1)
    assert SIMBA_ARCHITECTURE.fanout_y == (1, 4, 1, 4, 1, 1)
    assert SIMBA_ARCHITECTURE.area_um2 == pytest.approx(11687450.44, abs=0.005)
    assert levels["PEInputBuffer"].read_pj == pytest.approx(97.18672, abs=1e-5)
    assert levels["GlobalBuffer"].write_pj == pytest.approx(182.7858, abs=1e-5)
    layer = load_network("resnet18").layers[1]
    found = Mapper(SIMBA).map(layer, SIMBA_ARCHITECTURE)
    assert found.cycles == layer.macs / SIMBA_ARCHITECTURE.compute.instances


# --- The command ----------------------------------------------------------------------------------


@pytest.fixture
def folder(rows: list[Row], tmp_path: Path) -> Path:
    """A table of a few rows that is not packed."""
    kinds = ("timeloop-fixed", "timeloop-fixed-link", "agenv", "scalesim-full")
    write_rows(tmp_path, [_row(rows, kind) for kind in kinds])
    packed = tmp_path / "golden.csv.gz"
    (tmp_path / "golden.csv").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    return tmp_path


def _edit(folder: Path, change: Callable[[str], str]) -> None:
    path = folder / "golden.csv"
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))


def test_replay_prints_a_table_and_the_tolerances(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dnn", str(folder), str(folder)]) == 0
    out, _ = capsys.readouterr()
    assert re.search(r"timeloop-fixed +rows +exact +worst  rule +worst row", out)
    assert re.search(r"  partition +1 +100\.00 % +0\.0000 %  equal +-$", out, re.MULTILINE)
    assert "timeloop-fixed-link: 2 rows not compared: words that pass" in out
    assert re.search(r"pass  timeloop-fixed +cycles +within 1: 2 of 2 numbers", out)
    assert re.search(r"pass  scalesim-full +cycles +equal: 2 of 2 numbers", out)


def test_replay_exits_with_1_past_a_tolerance(
    folder: Path, rows: list[Row], capsys: pytest.CaptureFixture[str]
) -> None:
    cycles = _row(rows, "timeloop-fixed")["cycles"]
    _edit(folder, lambda text: text.replace(f",{cycles},", f",{int(cycles) * 2},", 1))
    assert main(["dnn", str(folder), "--verbose"]) == 1
    out, _ = capsys.readouterr()
    assert re.search(
        r"timeloop-fixed  cycles  TL-\S+  ours \d+  theirs \d+  off by 50\.0000 %", out
    )
    assert re.search(r"  cycles +1 +0\.00 % +50\.0000 %  equal +TL-\S+  FAIL", out)
    assert re.search(r"FAIL  timeloop-fixed +cycles +within 1: 0 of 1 numbers", out)


def test_an_unknown_kind_is_a_failure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _edit(folder, lambda text: text.replace(",scalesim-full,", ",scalesim-ful,"))
    assert main(["dnn", str(folder)]) == 1
    out, _ = capsys.readouterr()
    assert re.search(
        r"FAIL  scalesim-ful +1 rows not compared: unknown kind\. Did you mean 'scalesim-full'", out
    )
    assert main(["sample", str(folder), str(folder / "sample"), "--kind", "dnn"]) == 2
    assert "unknown kind. Did you mean" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text.replace(",cycles,", ",cycle,"),
            "golden.csv: column 'cycles' is missing. Did you mean 'cycle'?",
        ),
        (lambda text: text.splitlines()[0] + "\n", "golden.csv: has no row."),
        (lambda text: text + "1,2\n", "row 6: has more or fewer values"),
        (
            lambda text: re.sub(r"\n(TL-plain.*\}\]\"),1,", r"\n\1,yes,", text),
            "row 2: valid must be 0 or 1, got 'yes'.",
        ),
        (
            lambda text: (
                "\n".join(line for line in text.splitlines() if "L-plain" not in line)
                .replace("scalesim-full", "accelforge-ffm")
                .replace(",agenv,", ",maestro-gamma,")
            ),
            "there is no row of a kind that is compared: timeloop-fixed, ",
        ),
        (lambda text: text.replace('""levels"":', '""level"":'), "cannot be understood: KeyError"),
        (lambda text: text.replace('""levels"":', '""levels""'), "arch_json is not JSON"),
        (lambda text: text.replace('""DRAM"":{""cycles', '""DDR"":{""cycles'), "has no level 'DR"),
        (
            lambda text: text.replace('""MAC.meshx"":', '""MAC.meshx"":3'),
            "mesh_x",
        ),
    ],
)
def test_replay_exits_with_2_for_a_table_it_cannot_read(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[str], str],
    message: str,
) -> None:
    _edit(folder, change)
    assert main(["dnn", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err


def test_replay_needs_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dnn", str(tmp_path)]) == 2
    assert "golden.csv.gz: cannot be read: " in capsys.readouterr().err
    assert main(["sample", str(tmp_path), str(tmp_path), "--kind", "dnn"]) == 2
    assert "golden.csv.gz: cannot be read: " in capsys.readouterr().err


def test_sample_writes_a_folder_that_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[Row]
) -> None:
    target = tmp_path / "sample"
    assert main(["sample", str(SAMPLE), str(target), "--kind", "dnn", "--seed", "1"]) == 0
    assert f"{len(rows)} rows in {target}" in capsys.readouterr().out
    assert describe_left_out(read_rows(target))


def test_the_script_finds_its_modules(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "archgym_py").symlink_to(ROOT / "archgym_py")  # the package, but not the tests
    _edit(folder, lambda text: re.sub(r"\n(TL-|AGENV).*", "", text))
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "golden" / "replay.py", "dnn", folder],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "pass  scalesim-full" in done.stdout
