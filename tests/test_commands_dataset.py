"""`archgym dataset`: options, output and exit codes."""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
from pathlib import Path

import pyarrow.dataset as pa_dataset
import pytest

from archgym_py.commands_dataset import add_commands, select
from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.errors import ArchGymError, ConfigError
from archgym_py.log import DatasetError, part_name
from archgym_py.runner import run
from archgym_py.simulators.toy import ToySimulator


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for agent, quality in (("random_search", "random"), ("genetic", "")):
        env = {"env": "ArchGym/Toy-v0", "env_kwargs": {"objective": "minimize:delay_ns"}}
        run(RunConfig(**env, agent=agent, budget=40, quality=quality, seed=1, out=folder))  # type: ignore[arg-type]
    return folder


def command(*words: object) -> tuple[int, str]:
    """Do what `archgym dataset` does with these words; return its exit code and its output."""
    parser = argparse.ArgumentParser()
    add_commands(parser)
    args = parser.parse_args(list(map(str, words)))
    lines: list[str] = []
    return args.action(args, lines.append), "\n".join(lines)


def test_summary(out: Path) -> None:
    code, text = command("summary", out)
    assert code == 0
    lines = [line.split() for line in text.splitlines()]
    assert ["samples", "80"] in lines
    assert ["genetic", "40", "50.0%"] in lines
    lanes = next(line for line in lines if line[:1] == ["lanes"])
    assert lanes[2] == "6"  # the space is known, so that its values are counted
    code, text = command("summary", out, "--where", "agent=genetic", "--format", "json")
    assert code == 0
    assert json.loads(text)["agents"] == {"genetic": 40}


def test_where(out: Path) -> None:
    samples = SampleDataset(out)
    assert len(select(samples, [])) == 80
    assert len(select(samples, ["agent=genetic"])) == 40
    assert len(select(samples, ["agent=genetic", "agent=random_search"])) == 80
    assert len(select(samples, ["quality="])) == 40
    assert len(select(samples, ["agent=genetic", "index=3", "index=4"])) == 2
    assert len(select(samples, ["seed=1", "cached=false", "status=ok", "design.lanes=8"])) > 0
    for wrong, message in (
        ("agent", "'agent' is not of the form COLUMN=VALUE"),
        ("agnet=x", "no column 'agnet'. Did you mean 'agent'"),
        ("agent=genetics", "no run has agent 'genetics'. Did you mean 'genetic'"),
        ("index=first", "column 'index' has values of type int64, got first"),
        ("seed=one", "column 'seed' has values of type int64, got one"),
        ("rewards=1", "holds lists"),
    ):
        with pytest.raises(ArchGymError, match=message):
            select(samples, [wrong])
    with pytest.raises(DatasetError, match="no sample satisfies index=99"):
        command("summary", out, "--where", "index=99")


def test_validate(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = command("validate", out, "--samples", 30)
    assert (code, text) == (0, "30 samples compared, 0 mismatches, 0 skipped")
    evaluate = ToySimulator.evaluate
    monkeypatch.setattr(
        ToySimulator,
        "evaluate",
        lambda self, design, *, seed: evaluate(self, {**design, "lanes": 1}, seed=seed),
    )
    code, text = command("validate", out, "--where", "status=ok")
    assert code == 1
    lines = text.splitlines()
    assert "metric.delay_ns: logged" in text
    assert lines[50].endswith("more; --format json has all")
    code, text = command("validate", out, "--where", "status=ok", "--format", "json")
    found = json.loads(text)
    assert code == 1
    assert found["compared"] == len(select(SampleDataset(out), ["status=ok"]))
    assert {"run_id", "index", "column", "logged", "now"} == set(found["mismatches"][0])
    assert f"{found['compared']} samples compared, {len(found['mismatches'])} mism" in lines[-1]


def test_merge(out: Path, tmp_path: Path) -> None:
    code, text = command("merge", out, out, "--out", tmp_path / "all")
    assert code == 0
    assert text.startswith("2 runs copied, 0 extended, 2 there already; 80 samples")
    assert len(SampleDataset(tmp_path / "all")) == 80


def test_exports(out: Path, tmp_path: Path) -> None:
    code, text = command("export", out, "--to", "csv", "--out", tmp_path / "new" / "a.csv")
    assert (code, text) == (0, f"80 samples: {tmp_path / 'new' / 'a.csv'}")
    with (tmp_path / "new" / "a.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 80
    words = ("--to", "jsonl", "--out", tmp_path / "a.jsonl", "--where", "agent=genetic", "--unique")
    _, text = command("export", out, *words)
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert text.startswith(f"{len(lines)} samples")
    assert len({line["key"] for line in lines}) == len(lines)
    assert {line["agent"] for line in lines} == {"genetic"}
    command("export", out, "--to", "hugging-face", "--out", tmp_path / "hub", "--name", "Toy")
    assert pa_dataset.dataset(str(tmp_path / "hub" / "data")).count_rows() == 80
    for to, name, message in (
        ("hugging-face", (), "--name is missing, which --to hugging-face needs"),
        ("csv", ("--name", "a"), "--to csv has no name. Leave --name out"),
    ):
        with pytest.raises(ConfigError, match=message):
            command("export", out, "--to", to, "--out", tmp_path / "b", *name)
    with pytest.raises(DatasetError, match="no sample is left"):
        command("export", out, "--to", "csv", "--out", tmp_path / "c", "--where", "index=99")


@pytest.mark.skipif(importlib.util.find_spec("minari") is None, reason="minari is not installed")
def test_export_to_minari(out: Path, tmp_path: Path) -> None:
    words = ("--where", "agent=genetic", "--name", "toy/genetic-v0")
    code, text = command("export", out, "--to", "minari", "--out", tmp_path, *words)
    assert (code, text) == (0, f"40 samples: {tmp_path / 'toy' / 'genetic-v0'}")
    assert (tmp_path / "toy" / "genetic-v0" / "data" / "main_data.hdf5").is_file()


def test_damaged_files(out: Path, tmp_path: Path) -> None:
    (tmp_path / part_name(0)).write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match=r"part-00000\.parquet: cannot be read"):
        command("summary", out, tmp_path)
    with pytest.warns(UserWarning, match="left out"):
        code, text = command("summary", out, tmp_path, "--skip-damaged", "--format", "json")
    assert code == 0
    assert len(json.loads(text)["left_out"]) == 1


@pytest.mark.parametrize("name", ["collect", "summary", "validate", "merge", "export"])
def test_help_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command(name, "--help")
    assert ended.value.code == 0
    assert f"examples:\n  archgym dataset {name} " in capsys.readouterr().out
