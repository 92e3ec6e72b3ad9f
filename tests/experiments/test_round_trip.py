"""The round trip of the README at a small scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from archgym_py.dataset import SampleDataset
from archgym_py.errors import ArchGymError
from archgym_py.experiments.round_trip import main, round_trip
from archgym_py.proxy import read_header

COLLECTION = """\
name: small
budget: 600
seeds: 4
envs:
  - env: ArchGym/Toy-v0
    objectives: ["minimize:delay_ns"]
members:
  - {quality: random, agent: random_search, share: 0.5}
  - {quality: evolutionary, agent: genetic, share: 0.3}
  - {quality: annealed, agent: simulated_annealing, share: 0.2}
"""


def test_a_round_trip(tmp_path: Path) -> None:
    config = tmp_path / "small.yaml"
    config.write_text(COLLECTION)
    lines: list[str] = []
    out = tmp_path / "out"
    found = round_trip(str(config), out, budget=300, more=100, write=lines.append)
    assert 0 < found.runs_before_kill <= 12
    assert found.samples == 600 + 100 == len(SampleDataset(out / "merged"))
    assert found.true > found.default  # a better design was found without simulating it
    header = read_header(out / "proxy.safetensors")
    assert {source["quality"] for source in header.training["sources"]} == {
        "random",
        "evolutionary",
        "annealed",
        "",
    }
    searched = SampleDataset(out / "searched")
    assert set(searched.table(["fidelity"])["fidelity"].to_pylist()) == {"proxy"}
    assert any(line.startswith("reward: predicted") for line in lines)


def test_a_folder_that_exists_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ArchGymError, match="starts from nothing"):
        round_trip("toy", tmp_path, write=list)
    assert main(["toy", "--out", str(tmp_path)]) == 2
    assert "starts from nothing" in capsys.readouterr().err
