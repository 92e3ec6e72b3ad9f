"""The summary of a dataset, against counts made by hand."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from archgym_py.dataset import SampleDataset
from archgym_py.dataset_summary import QUANTILES, summarise
from archgym_py.evaluator import Trial
from archgym_py.log import RunInfo
from archgym_py.recorder import ParquetRecorder
from archgym_py.simulator import PROXY, SIMULATED, Metric, Status
from archgym_py.space import Choice, Design, Ordinal, ParameterSpace

SPACE = ParameterSpace((Ordinal("size", (1, 2, 4, 8), unit="KiB"), Choice("policy", ("a", "b"))))
METRICS = (Metric("time_ns", "ns", 0.0, 1e9), Metric("hits", "1", 0.0, 1.0))
CLOUD, EDGE = 'E-v0 {"workload":"cloud"} 1', 'E-v0 {"workload":"edge"} 1'


def log(out: Path, number: int, workload: str, rows: list[tuple[int, str, float | None]]) -> None:
    """Log sizes, policies and times; without a time the design is infeasible."""
    blank = dict.fromkeys([field.name for field in fields(RunInfo)], "")
    about = {
        "run_id": str(number),
        "agent": f"agent {number}",
        "env_id": "E-v0" if number else "ESequential-v0",
        "env_kwargs": json.dumps({"workload": workload, "objective": "minimize:time_ns"}),
        "workload": workload,
        "objective": "minimize:time_ns",
        "simulator_version": "1",
        "seed": 0,
        "quality": "tuned" if number else "",
    }
    info = RunInfo(**{**blank, **about})  # type: ignore[arg-type]
    recorder = ParquetRecorder(out, info, SPACE, METRICS)
    for index, (size, policy, time) in enumerate(rows):
        design: Design = {"size": size, "policy": policy}
        recorder.append(
            Trial(
                index=index,
                design=design,
                key=SPACE.key(design),
                status=Status.OK if time is not None else Status.INFEASIBLE,
                message="",
                metrics={} if time is None else {"time_ns": time, "hits": 0.5},
                reward=-1e9 if time is None else -time,
                rewards=(),
                cached=False,
                wall_s=0.25,
                seed=0,
                fidelity=PROXY if number == 2 else SIMULATED,
            )
        )
    recorder.close()


@pytest.fixture
def samples(tmp_path: Path) -> SampleDataset:
    log(tmp_path, 0, "cloud", [(1, "a", 4.0), (2, "a", 8.0), (1, "a", 4.0)])
    log(tmp_path, 1, "cloud", [(2, "a", 8.0), (4, "a", None)])
    log(tmp_path, 2, "edge", [(1, "a", 6.0)])
    return SampleDataset(tmp_path)


def test_everything_is_counted(samples: SampleDataset) -> None:
    done: list[int] = []
    found = summarise(samples, progress=done.append)
    assert (found.runs, found.rows, sum(done)) == (3, 6, 6)
    assert (found.designs, found.unique) == (3, 4)
    assert found.duplicates == pytest.approx(2 / 6)
    assert found.wall_s == 1.5
    assert found.statuses == {"ok": 5, "infeasible": 1}
    assert found.fidelities == {"simulator": 5, "proxy": 1}
    assert found.agents == {"agent 0": 3, "agent 1": 2, "agent 2": 1}
    assert found.qualities == {"": 3, "tuned": 3}
    assert found.workloads == {"cloud": 5, "edge": 1}
    assert list(found.workloads) == ["cloud", "edge"]
    by_problem = {each.problem: each for each in found.problems}
    cloud, edge = by_problem[CLOUD], by_problem[EDGE]  # the sequential form has the same problem
    assert (cloud.workload, cloud.rows, cloud.designs, cloud.feasible) == ("cloud", 5, 3, 4)
    assert (edge.workload, edge.rows, edge.designs, edge.feasible) == ("edge", 1, 1, 1)
    size, policy = found.parameters
    assert (size.name, size.unit, size.seen, size.values) == ("size", "KiB", 3, None)
    assert (policy.name, policy.unit, policy.seen) == ("policy", "", 1)
    time, hits = found.metrics
    assert (time.unit, time.rows, time.low, time.high) == ("ns", 5, 4.0, 8.0)
    assert (hits.low, hits.high) == (0.5, 0.5)
    rewards = {each.problem: each for each in found.rewards}
    assert rewards[CLOUD].rows == 4
    assert rewards[CLOUD].quantiles == tuple(np.quantile([-4, -8, -4, -8], QUANTILES))
    assert rewards[EDGE].quantiles == (-6.0,) * 5


def test_spaces_say_how_many_values_there_are(samples: SampleDataset) -> None:
    smaller = ParameterSpace((Ordinal("size", (1, 2)), Choice("policy", ("a", "b"))))
    known = summarise(samples, spaces={CLOUD: SPACE, EDGE: SPACE}).parameters
    assert [each.values for each in known] == [4, 2]
    differ = summarise(samples, spaces={CLOUD: SPACE, EDGE: smaller}).parameters
    assert [each.values for each in differ] == [None, 2]
    assert [each.values for each in summarise(samples, spaces={CLOUD: SPACE}).parameters] == [
        None,
        None,
    ]


def test_a_summary_of_a_view(samples: SampleDataset) -> None:
    found = summarise(samples.where(pc.field("status") == "infeasible"))
    assert (found.runs, found.rows, found.metrics[0].rows) == (1, 1, 0)
    assert found.metrics[0].low is None
    assert found.rewards[0].quantiles == ()
    nothing = summarise(samples.where(pc.field("index") < 0))
    assert (nothing.rows, nothing.duplicates, nothing.problems) == (0, 0.0, ())
    assert summarise(samples.unique()).duplicates == 0.0


def test_text_and_json(samples: SampleDataset) -> None:
    found = summarise(samples, spaces={CLOUD: SPACE, EDGE: SPACE})
    lines = [line.split() for line in found.text().splitlines()]
    assert ["samples", "6"] in lines
    assert ["repetitions", "33.3%"] in lines
    assert ["infeasible", "1", "16.7%"] in lines
    assert ["size", "KiB", "3", "4", "75%"] in lines
    assert ["time_ns", "ns", "5", "4", "8"] in lines
    assert ["-", "3", "50.0%"] in lines  # the quality that nobody stated
    mapping = json.loads(json.dumps(found.to_mapping(), allow_nan=False))
    assert mapping["rows"] == 6
    assert mapping["duplicates"] == found.duplicates
    assert mapping["parameters"][0] == {"name": "size", "unit": "KiB", "seen": 3, "values": 4}


def test_what_was_left_out_is_said(tmp_path: Path) -> None:
    log(tmp_path, 0, "cloud", [(1, "a", 4.0)])
    (tmp_path / "part-00007.parquet").write_bytes(b"PAR1")
    with pytest.warns(UserWarning, match="left out"):
        samples = SampleDataset(tmp_path, skip_damaged=True)
    found = summarise(samples)
    assert found.left_out == samples.problems
    assert "part-00007.parquet" in found.text()
