"""SCALE-Sim as a backend: what it is given, what is read, and how it fails.

The interpreter in most of these tests is a small program that answers as SCALE-Sim 3 does. The last
tests run the real one where ARCHGYM_SCALESIM_PYTHON names it.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.errors import ConfigError, SimulatorError, SimulatorTimeout
from archgym_py.simulators.dnn.scalesim import ScaleSim
from archgym_py.simulators.dnn.systolic_array import SYSTOLIC_SPACE, SystolicSimulator
from archgym_py.simulators.stand_in import backend_of

SMALL: Mapping[str, Any] = {
    "name": "small",
    "layers": [
        {"name": "conv", "op": "conv", "M": 20, "C": 3, "P": 7, "Q": 6, "R": 3, "S": 3, "count": 2},
        {"name": "again", "op": "conv", "M": 20, "C": 3, "P": 7, "Q": 6, "R": 3, "S": 3},
        {"name": "depthwise", "op": "depthwise", "G": 5, "P": 6, "Q": 6, "R": 3, "S": 3},
        {"name": "fc", "op": "gemm", "M": 33, "C": 70, "P": 2},
    ],
}
"""Three distinct products, of which the first occurs three times and the second five."""

COMPUTE = """
import configparser, csv, pathlib, sys

config = configparser.ConfigParser()
config.read("array.cfg")
array, layout = config["architecture_presets"], config["layout"]
assert config["run_presets"] == {"interfacebandwidth": "CALC", "useramulatortrace": "False"}
assert layout["ifmapcustomlayout"] == layout["filtercustomlayout"] == "False"
assert config["sparsity"]["sparsitysupport"] == "false"
rows, columns = int(array["arrayheight"]), int(array["arraywidth"])
sizes = [int(array[f"{part}sramszkb"]) for part in ("ifmap", "filter", "ofmap")]
pathlib.Path("sizes").write_text(repr(sizes))
_, *gemms = csv.reader(open("gemms.csv"))
_, *layouts = csv.reader(open("layout.csv"))
assert [len(row) for row in layouts] == [22] * len(gemms)
assert [row[0] for row in layouts] == [row[0] for row in gemms]
assert "scalesim(" in open("run.py").read()
HEAD = (
    "LayerID, Total Cycles (incl. prefetch), Total Cycles, Stall Cycles, Overall Util %, "
    "Mapping Efficiency %, Compute Util %,"
)
lines = [HEAD]
for number, (_, m, n, k, _) in enumerate(gemms):
    m, n, k = int(m), int(n), int(k)
    if array["dataflow"] == "os":
        folds, cycles = -(-m // rows) * -(-n // columns), k + rows + columns - 2
    else:
        along, streamed = (n, m) if array["dataflow"] == "ws" else (m, n)
        folds = -(-k // rows) * -(-along // columns)
        cycles = 2 * rows + columns + streamed - 2
    lines.append(f"{number}, {folds * cycles + 99}, {folds * cycles - 1}, 0, 69.6, 100.0, 69.5,")
out = pathlib.Path("results/array")
out.mkdir(parents=True)
"""
"""The rules of SCALE-Sim 3, once more."""

WRITE = '(out / "COMPUTE_REPORT.csv").write_text("\\n".join(lines) + "\\n")\n'


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., str]:
    """Return a function that makes an interpreter that runs SCALE-Sim with some code."""

    def write(run: str = COMPUTE + WRITE, version: str = "print('3.0.0')") -> str:
        path = tmp_path / "python"
        path.write_text(
            f"#!{sys.executable}\n"
            "import sys\n"
            "assert sys.argv[1] == '-I'\n"
            "if sys.argv[2] == '-c':\n"
            "    assert 'scalesim' in sys.argv[3]\n"
            f"    {version}\n"
            "    sys.exit()\n"
            "assert sys.argv[2] == 'run.py'\n"
            f"{run}\n",
            encoding="utf-8",
        )
        path.chmod(0o755)
        return str(path)

    return write


def small(program: str | None = None, **options: Any) -> ScaleSim:
    return ScaleSim(SystolicSimulator(SMALL), SYSTOLIC_SPACE, program=program, **options)


def array(rows: int, columns: int, dataflow: str) -> dict[str, Any]:
    return {**SYSTOLIC_SPACE.default(), "rows": rows, "columns": columns, "dataflow": dataflow}


def compute_cycles(design: Mapping[str, Any]) -> float:
    """Return the cycles of the embedded model without those that wait for the DRAM."""
    metrics = SystolicSimulator(SMALL).evaluate(dict(design), seed=0).metrics
    return metrics["compute_cycles"]


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
@pytest.mark.parametrize("shape", [(4, 8), (16, 4), (64, 64)])
def test_cycles_are_counted_as_often_as_the_network_has_a_product(
    make: Callable[..., str], dataflow: str, shape: tuple[int, int]
) -> None:
    design = array(*shape, dataflow)
    assert small(make()).evaluate(design, seed=0).metrics == {
        "compute_cycles": compute_cycles(design)
    }


def test_an_environment_runs_on_it(make: Callable[..., str]) -> None:
    env = gym.make(
        "ArchGym/SystolicArray-v0",
        workload=SMALL,
        simulator={"backend": "scalesim", "program": make()},
        objective="minimize:compute_cycles",
    )
    env.reset(seed=0)
    info = env.step([4, 4, 1, 4, 4, 4, 0, 0, 1, 3])[4]
    assert info["status"] == "ok"
    assert info["metrics"]["compute_cycles"] == compute_cycles(info["design"])
    env.close()
    with pytest.raises(ConfigError, match="edp_uj_ms"):  # the default objective
        gym.make(
            "ArchGym/SystolicArray-v0",
            workload=SMALL,
            simulator={"backend": "scalesim", "program": make()},
        )


def test_the_configuration_is_the_design() -> None:
    design = {**array(12, 24, "is"), "precision": "int8", "ifmap_kib": 64, "ofmap_kib": 16}
    files = small().configuration(design)  # no interpreter is needed
    config = files["array.cfg"]
    for line in ("ArrayHeight = 12", "ArrayWidth = 24", "Dataflow = is"):
        assert line in config.splitlines()
    # As many kibibytes of one-byte words as the design has kibiwords.
    for line in ("IfmapSramSzkB = 64", "FilterSramSzkB = 128", "OfmapSramSzkB = 4"):
        assert line in config.splitlines()
    assert files["gemms.csv"].splitlines() == [
        "Product,M,N,K,",
        "p0,42,20,27,",
        "p1,36,1,9,",
        "p2,2,33,70,",
    ]
    assert "p0: M = 42, N = 20, K = 27, 3 times" in files["README.txt"]
    assert "p1: M = 36, N = 1, K = 9, 5 times" in files["README.txt"]


@given(st.integers(0, 2**32))
def test_every_design_can_be_written(seed: int) -> None:
    design = SYSTOLIC_SPACE.decode([seed // 3**i % len(values) for i, values in enumerate(_VALUES)])
    files = _WRITER.configuration(design)
    assert f"Dataflow = {design['dataflow']}\n" in files["array.cfg"]
    assert "SramSzkB = 0\n" not in files["array.cfg"]


_VALUES = [parameter.values for parameter in SYSTOLIC_SPACE.parameters]  # type: ignore[attr-defined]
_WRITER = ScaleSim(SystolicSimulator(SMALL), SYSTOLIC_SPACE)


# ---- failures ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("lines = ['garbage']", "has other columns than expected: 'garbage'"),
        ("lines = []", "has other columns"),
        ("lines[0] = lines[0].replace('Stall Cycles', 'Stall Time')", "has other columns"),
        ("lines.pop()", "has 2 rows for 3 products"),
        ("lines.append(lines[-1])", "has 4 rows for 3 products"),
        ("lines[1], lines[2] = lines[2], lines[1]", "row 0 is '1, "),
        ("lines[3] = lines[3][:9]", "row 2 is"),
        ("lines[2] = lines[2].replace(' 0,', ' 7,')", "product 1 has stalls, '7'"),
        ("lines[1] = '0, 9, 735.5, 0, 1, 1, 1,'", "of product 0 are no whole number: '735.5'"),
        ("lines[1] = '0, 9, nan, 0, 1, 1, 1,'", "no whole number: 'nan'"),
        ("lines[1] = '0, 9, -1, 0, 1, 1, 1,'", "no whole number: '-1'"),
        ("lines[1] = '0, 9, , 0, 1, 1, 1,'", "no whole number: ''"),
    ],
)
def test_a_wrong_report_is_an_error(make: Callable[..., str], change: str, error: str) -> None:
    with pytest.raises(SimulatorError, match=error):
        small(make(f"{COMPUTE}\n{change}\n{WRITE}")).evaluate(array(8, 8, "os"), seed=0)


@pytest.mark.parametrize(
    ("code", "kind", "error"),
    [
        (COMPUTE, SimulatorError, r"did not leave the file results/array/COMPUTE_REPORT\.csv"),
        ("raise MemoryError('12 GiB')", SimulatorError, r"exited with 1\.[^\0]*MemoryError: 12"),
        ("import os; os.kill(os.getpid(), 9)", SimulatorError, "was killed by SIGKILL"),
        ("import time; time.sleep(60)", SimulatorTimeout, "did not finish within 1 s"),
    ],
)
def test_a_run_that_fails(
    make: Callable[..., str], code: str, kind: type[Exception], error: str
) -> None:
    limit = 1.0 if "sleep" in code else 60.0
    with pytest.raises(kind, match=error) as caught:
        small(make(code), timeout_s=limit).evaluate(array(8, 8, "os"), seed=0)
    assert caught.type is kind


def test_a_failure_is_a_trial(make: Callable[..., str]) -> None:
    env = gym.make(
        "ArchGym/SystolicArray-v0",
        workload=SMALL,
        simulator={"backend": "scalesim", "program": make("raise SystemExit(3)")},
        objective="minimize:compute_cycles",
        baseline={"compute_cycles": 1000.0},
    )
    env.reset(seed=0)
    info = env.step([4, 4, 1, 4, 4, 4, 0, 0, 1, 3])[4]
    assert info["status"] == "crashed"
    assert "exited with 3" in info["message"]
    env.close()


# ---- arguments ---------------------------------------------------------------------------------


def test_an_interpreter_has_to_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ARCHGYM_SCALESIM_PYTHON", raising=False)
    remedy = r"ARCHGYM_SCALESIM_PYTHON.*pip install scalesim==3\.0\.0"
    with pytest.raises(ConfigError, match=remedy):
        gym.make("ArchGym/SystolicArray-v0", workload=SMALL, simulator="scalesim")
    with pytest.raises(ConfigError, match=remedy):
        assert small().version
    monkeypatch.setenv("ARCHGYM_SCALESIM_PYTHON", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"nowhere.*is no program"):
        small().evaluate(array(8, 8, "os"), seed=0)


def test_the_interpreter_needs_the_tool(make: Callable[..., str]) -> None:
    program = make(version="raise ImportError('No package metadata for scalesim')")
    with pytest.raises(ConfigError, match=r"has no scalesim\.[^\0]*No package metadata"):
        small(program).evaluate(array(8, 8, "os"), seed=0)
    with pytest.raises(ConfigError, match=r"scalesim '2\.0\.2', but only versions 3\.x"):
        assert small(make(version="print('2.0.2')")).version


def test_versions_follow_tool_and_network(make: Callable[..., str]) -> None:
    tool = small(make())
    other = ScaleSim(SystolicSimulator("alexnet/conv1"), SYSTOLIC_SPACE, program=make())
    versions = {tool.version, other.version, small(make(version="print('3.0.1')")).version}
    assert len(versions) == 3
    assert tool.version.startswith("1-scalesim-3.0.0+")
    assert pickle.loads(pickle.dumps(tool)).version == tool.version  # noqa: S301
    assert tool.problem["backend"] == "scalesim"


def test_options_and_budgets() -> None:
    model = SystolicSimulator(SMALL)
    with pytest.raises(ConfigError, match=r"has no option 'pogram'\. Did you mean 'program'"):
        backend_of("scalesim", model, SYSTOLIC_SPACE, pogram="x")
    limited = SystolicSimulator(SMALL, power_budget_mw=1e5)
    with pytest.raises(ConfigError, match="knows neither area nor power"):
        backend_of("scalesim", limited, SYSTOLIC_SPACE)


# ---- the real tool -----------------------------------------------------------------------------


@pytest.mark.skipif(
    not (os.environ.get("ARCHGYM_SCALESIM_PYTHON") or os.environ.get("ARCHGYM_REQUIRE_TOOLS")),
    reason="ARCHGYM_SCALESIM_PYTHON names no interpreter with SCALE-Sim",
)
@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
@pytest.mark.parametrize("shape", [(4, 8), (16, 4), (64, 64)])
def test_the_real_tool_agrees_to_the_cycle(dataflow: str, shape: tuple[int, int]) -> None:
    design = array(*shape, dataflow)
    assert small().evaluate(design, seed=0).metrics["compute_cycles"] == compute_cycles(design)
