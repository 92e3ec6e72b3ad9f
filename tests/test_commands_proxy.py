"""`archgym proxy`: fit, evaluate and card, from a log to a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archgym_py.cli import main
from archgym_py.config import RunConfig
from archgym_py.proxy import read_header
from archgym_py.proxy_evaluation import evaluation_path, read_evaluation
from archgym_py.runner import run

SMALL = ("--hp", "trees=4")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples of two workloads, by two agents of different quality."""
    out = tmp_path_factory.mktemp("runs")
    for workload in ("stream-saturating-100", "random-saturating-100"):
        for agent, quality in (("random_search", "random"), ("genetic", "evolutionary")):
            run(
                RunConfig(
                    env="ArchGym/DRAMController-v0",
                    agent=agent,
                    budget=60,
                    quality=quality,
                    out=out,
                    env_kwargs={"workload": workload},
                )
            )
    return out


@pytest.fixture(scope="module")
def fitted(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("proxies") / "new" / "dram.safetensors"
    assert main(["proxy", "fit", str(runs), "--out", str(file), *SMALL, "--seed", "5"]) == 0
    return file


def test_fit_tells_how_good_it_is(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.safetensors"
    targets = ("--target", "energy_pj", "--target", "total_time_ns")
    assert main(["proxy", "fit", str(runs), "--out", str(file), *SMALL, *targets]) == 0
    shown = capsys.readouterr()
    assert "held out: 20% of the designs (" in shown.out
    assert [line.split()[0] for line in shown.out.splitlines()[1:4]] == [
        "metric",
        "energy_pj",
        "total_time_ns",
    ]
    assert "fitting: 100%" in shown.err
    header = read_header(file)
    assert [target.name for target in header.targets] == ["energy_pj", "total_time_ns"]
    assert header.training["hyperparameters"]["trees"] == 4


def test_samples_and_seeds_are_obeyed(runs: Path, tmp_path: Path) -> None:
    digests = []
    for number, seed in enumerate(("1", "1", "2")):
        file = tmp_path / f"{number}.safetensors"
        command = ["proxy", "fit", str(runs), "--out", str(file), *SMALL]
        assert main([*command, "--samples", "50", "--seed", seed]) == 0
        header = read_header(file)
        assert header.training["rows"] == 50
        digests.append(header.digest)
    assert digests[0] == digests[1] != digests[2]


def test_evaluate_holds_out_designs_workloads_and_a_region(
    fitted: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_evaluation(fitted, read_header(fitted).digest)
    assert main(["proxy", "evaluate", str(fitted), str(runs)]) == 0
    shown = capsys.readouterr().out
    after = read_evaluation(fitted, read_header(fitted).digest)
    assert [each.kind for each in after] == ["designs", "workload", "workload", "region"]
    assert after[0] == before[0]  # the same designs are held out
    assert {each.what for each in after[1:3]} == {"stream-saturating-100", "random-saturating-100"}
    region = after[3].what
    assert " in {" in region
    for each in after:
        assert each.what in shown
    # A workload that was not seen is predicted worse than designs that were not.
    rmse = [each.qualities[0].rmse for each in after]
    assert max(rmse[1:3]) > rmse[0]


def test_few_samples_of_a_workload_help(
    fitted: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["proxy", "evaluate", str(fitted), str(runs), "--shots", "30"]) == 0
    assert "workload stream-saturating-100 but for 30 samples (" in capsys.readouterr().out
    found = read_evaluation(fitted, read_header(fitted).digest)
    assert [each.kind for each in found] == ["designs", *["workload"] * 4, "region"]
    for without, few in (found[1:3], found[3:5]):
        assert few.what == f"{without.what} but for 30 samples"
        assert few.training_samples <= found[0].training_samples
        assert few.qualities[0].samples < without.qualities[0].samples  # those 30 are not judged
    rmse = [each.qualities[0].rmse for each in found[1:5]]
    assert rmse[1] + rmse[3] < rmse[0] + rmse[2]


@pytest.mark.parametrize(("shots", "error"), [("-1", "shots"), ("100000", "got 100000. Choose")])
def test_a_wrong_number_of_shots(
    shots: str, error: str, fitted: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["proxy", "evaluate", str(fitted), str(runs), "--shots", shots]) == 2
    assert error in capsys.readouterr().err


def test_the_card_says_all(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["proxy", "card", str(fitted)]) == 0
    page = capsys.readouterr().out
    header = read_header(fitted)
    for text in (
        "# dram.safetensors",
        "ArchGym/DRAMController-v0",
        "| total_time_ns | ns |",
        "- stream-saturating-100",
        "| genetic | evolutionary | 2 |",
        header.digest,
        "20% of the designs",
    ):
        assert text in page
    assert main(["proxy", "card", str(fitted), "--out", str(tmp_path / "card.md")]) == 0
    assert (tmp_path / "card.md").read_text() == page


def test_figures_of_another_proxy_are_refused(
    fitted: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.safetensors"
    assert main(["proxy", "fit", str(runs), "--out", str(file), *SMALL]) == 0
    evaluation_path(file).write_bytes(evaluation_path(fitted).read_bytes())
    assert main(["proxy", "card", str(file)]) == 2
    assert "is the evaluation of another proxy" in capsys.readouterr().err
    evaluation_path(file).write_text(json.dumps({"proxy": 1}))
    assert main(["proxy", "card", str(file)]) == 2
    assert "is damaged" in capsys.readouterr().err
    evaluation_path(file).unlink()
    assert main(["proxy", "card", str(file)]) == 0
    assert "Not evaluated yet." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--model", "forest"), "unknown proxy 'forest'"),
        (("--hp", "tres=3"), "Did you mean 'trees'"),
        (("--target", "energy"), "no metric 'energy'"),
        (("--holdout", "1"), "above 0 and below 1, got 1.0"),
        (("--samples", "0"), "samples"),
    ],
)
def test_mistakes(
    runs: Path,
    tmp_path: Path,
    more: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "p.safetensors"
    assert main(["proxy", "fit", str(runs), "--out", str(file), *more]) == 2
    assert message in capsys.readouterr().err
    assert not file.exists()
