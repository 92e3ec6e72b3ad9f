"""The model against recorded runs of FARSI in tests/golden/soc."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from archgym_py.errors import ConfigError
from archgym_py.simulators.soc.arvr import ARVRSimulator
from archgym_py.space import Design
from tests.golden.replay_farsi import EXACT, TOLERANCES, choose_sample, replay, report

SAMPLE = Path(__file__).parents[2] / "golden" / "soc" / "farsi.json.gz"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(gzip.decompress(SAMPLE.read_bytes()))["farsi"]
    return found


def test_the_sample_is_reproduced(rows: list[dict[str, Any]]) -> None:
    quantities = replay(rows)
    assert [quantity.name for quantity in quantities] == list(TOLERANCES)
    for quantity in quantities:
        assert quantity.exact == quantity.rows == len(rows) == 60, "\n".join(report(quantities))
        assert quantity.worst <= EXACT
        assert quantity.passed


def test_the_published_encoding_means_the_same(rows: list[dict[str, Any]]) -> None:
    """Designs with fewer slots than tasks are the action vector with empty slots at its end."""
    simulators = {
        name: ARVRSimulator(name, space="published_comprehensive", compat="farsi")
        for name in {row["workload"] for row in rows}
    }
    for row in rows:
        simulator = simulators[row["workload"]]
        design: Design = dict.fromkeys(simulator.space.names, -1)
        design |= {f"pe_to_bus_connection_{k}": 0 for k in range(len(row["tasks_order"]))}
        for group, values in row["action"].items():
            design |= {f"{group}_{k}": value for k, value in enumerate(values)}
        metrics = simulator.evaluate(design, seed=0).metrics
        assert metrics["latency_ms"] == pytest.approx(1e3 * row["latency"], rel=1e-4)
        assert metrics["energy_uj"] == pytest.approx(1e6 * row["energy"], rel=EXACT)
        assert metrics["area_mm2"] == pytest.approx(1e6 * row["area"], rel=EXACT)
        assert metrics["development_cost"] == pytest.approx(row["cost"], rel=EXACT)
        assert metrics["distance"] == pytest.approx(row["reward"], rel=1e-4)


def test_every_workload_is_in_the_sample(rows: list[dict[str, Any]]) -> None:
    workloads = [row["workload"] for row in rows]
    assert {name: workloads.count(name) for name in workloads} == {
        "edge_detection": 20,
        "hpvm_cava": 20,
        "audio_decoder": 20,
    }


def test_differences_are_found(rows: list[dict[str, Any]]) -> None:
    row = copy.deepcopy(rows[0])
    row["power"] *= 1 + 1e-5
    row["phases"] = row["phases"][:-1]
    row["final_links"] = row["final_links"][1:]
    failed = {quantity.name: quantity for quantity in replay([row]) if not quantity.passed}
    assert set(failed) == {"power", "phase", "links"}
    assert failed["power"].worst == pytest.approx(1e-5, rel=1e-3)
    assert failed["power"].worst_row == row["id"]
    assert sum("FAILED" in line for line in report(replay([row]))) == 3


def test_a_design_that_cannot_work_is_no_match(rows: list[dict[str, Any]]) -> None:
    row = copy.deepcopy(rows[0])
    row["action"]["bus_to_mem_connection"] = [-1 for _ in row["action"]["bus_to_mem_connection"]]
    assert not any(quantity.passed for quantity in replay([row]))


def test_rows_that_cannot_be_read(rows: list[dict[str, Any]]) -> None:
    row = copy.deepcopy(rows[0])
    del row["names"]
    with pytest.raises(ConfigError, match=f"{row['id']}: the key 'names' is missing"):
        replay([row])
    row = copy.deepcopy(rows[0])
    row["names"]["pe"][0] = "A54_pe"
    with pytest.raises(ConfigError, match="A54"):
        replay([row])


def test_samples_are_chosen_by_a_seed(rows: list[dict[str, Any]]) -> None:
    one = choose_sample(rows, 12)
    assert len(one) == 12
    assert one == choose_sample(rows, 12)
    assert one != choose_sample(rows, 12, seed=1)
