"""SCALE-Sim 3 behind the systolic array: the tool itself, in place of our closed forms of it.

SCALE-Sim (Raj et al., ISPASS 2025; Samajdar et al., ISPASS 2020) plays every operand of every
cycle. The rules of `archgym_py.simulators.dnn.systolic` are what comes out of that, so the two
agree to the cycle, and the tool is a check of them and a way to run what it may become. It takes
milliseconds for a small product and minutes for a large one: its time grows with the square of the
folds.

It breaks on NumPy 2.4, so it has an interpreter of its own and runs as a program:

    python -m venv scalesim
    scalesim/bin/pip install scalesim==3.0.0 "numpy<2.4"
    export ARCHGYM_SCALESIM_PYTHON=$PWD/scalesim/bin/python
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Final, cast

from archgym_py.design import Design
from archgym_py.errors import ConfigError, SimulatorError, SimulatorTimeout
from archgym_py.simulator import Evaluation, Simulator
from archgym_py.simulators.backend import ProgramBackend
from archgym_py.simulators.dnn.components import PARTIAL_SUM_BITS, mac
from archgym_py.simulators.dnn.systolic import gemm_of
from archgym_py.simulators.dnn.systolic_array import SystolicSimulator
from archgym_py.simulators.process import Program
from archgym_py.space import ParameterSpace

__all__ = ["ScaleSim"]

_ADAPTER_VERSION: Final = "1"  # raise it when the same answers of the tool give other metrics

_VARIABLE: Final = "ARCHGYM_SCALESIM_PYTHON"
_REMEDY: Final = (
    "SCALE-Sim needs an interpreter of its own, since it breaks on NumPy 2.4: python -m venv "
    'scalesim; scalesim/bin/pip install scalesim==3.0.0 "numpy<2.4"; then name '
    "scalesim/bin/python."
)
_ASK_VERSION: Final = "from importlib.metadata import version; print(version('scalesim'))"
_VERSION: Final = re.compile(r"3\.[0-9]+\.[0-9]+\n?")

_CONFIG, _LAYERS, _LAYOUT, _SCRIPT = "array.cfg", "gemms.csv", "layout.csv", "run.py"
_RUN: Final = "array"
_REPORT: Final = f"results/{_RUN}/COMPUTE_REPORT.csv"
_COLUMNS: Final = (
    "LayerID",
    "Total Cycles (incl. prefetch)",
    "Total Cycles",
    "Stall Cycles",
    "Overall Util %",
    "Mapping Efficiency %",
    "Compute Util %",
)
_LAYOUT_COLUMNS: Final = 20

_RUN_SCRIPT: Final = f"""\
from scalesim.scale_sim import scalesim

scalesim(
    save_disk_space=True,
    verbose=False,
    config="{_CONFIG}",
    topology="{_LAYERS}",
    layout="{_LAYOUT}",
    input_type_gemm=True,
).run_scale(top_path="results")
"""

_README: Final = f"""\
A systolic array for SCALE-Sim 3. Run it here, with a Python that has scalesim==3.0.0 and a NumPy
before 2.4:

    python -I {_SCRIPT}

{_REPORT} then has a row for each product of {_LAYERS}. "Total Cycles" is the
number of the last cycle, counted from 0. How often the network computes each product:

"""


class ScaleSim(ProgramBackend):
    """Cycles of a systolic array, from SCALE-Sim 3.

    The only metric is `compute_cycles`: the tool works out which bandwidth the array would need
    (InterfaceBandwidth CALC) instead of letting it wait for a memory, so that SRAM sizes, memory,
    precision and clock have no effect. The tool prints the number of the last cycle; the count is
    one more.

    A layer is the matrix products of `gemm_of`. Equal products are simulated once, and all
    products of a design in one call.

    Args:
        embedded: The embedded model, for the network.
        space: The designs.
        program: A Python interpreter that has scalesim; by default that of the environment
            variable ARCHGYM_SCALESIM_PYTHON.
        timeout_s: Time that a design may take, in seconds.

    Raises:
        ConfigError: If there are budgets: the tool knows neither area nor power.
    """

    name: ClassVar[str] = "scalesim"
    simulates: ClassVar[tuple[str, ...]] = ("systolic",)
    reports: ClassVar[tuple[str, ...]] = ("compute_cycles",)
    executable = "python"
    variable = _VARIABLE
    remedy = _REMEDY

    def __init__(
        self,
        embedded: Simulator,
        space: ParameterSpace,
        *,
        program: str | os.PathLike[str] | None = None,
        timeout_s: float = 1800.0,
    ) -> None:
        super().__init__(embedded, space, program=program, timeout_s=timeout_s)
        model = cast(SystolicSimulator, embedded)
        if any(budget is not None for budget in model.problem["budgets"].values()):
            raise ConfigError(
                "scalesim knows neither area nor power, so it cannot keep a budget of them. Leave "
                "the budgets out."
            )
        self._network = model.network
        self._products: dict[tuple[int, int, int], int] = {}
        for layer in self._network.layers:
            gemm = gemm_of(layer)
            shape = (gemm.m, gemm.n, gemm.k)
            copies = gemm.copies * layer.count
            self._products[shape] = self._products.get(shape, 0) + copies

    @property
    def version(self) -> str:
        """Version of the adapter and the tool, and a digest of the network.

        Raises:
            ConfigError: If the tool is not there.
        """
        return f"{_ADAPTER_VERSION}-scalesim-{self._tool_version}+{self._network.fingerprint}"

    def configuration(self, design: Design) -> Mapping[str, str]:
        """Return the tool's configuration, products and layout; see `Backend.configuration`."""
        counts, gemms, layouts = [], [], []
        for place, ((m, n, k), copies) in enumerate(self._products.items()):
            counts.append(f"p{place}: M = {m}, N = {n}, K = {k}, {copies} times\n")
            gemms.append(f"p{place},{m},{n},{k},\n")
            # Read for every product, and used by none: custom layouts are off.
            layouts.append(f"p{place}," + "1," * _LAYOUT_COLUMNS + "\n")
        layout_columns = "".join(f"c{column}," for column in range(_LAYOUT_COLUMNS))
        return {
            "README.txt": _README + "".join(counts),
            _SCRIPT: _RUN_SCRIPT,
            _CONFIG: _config(design),
            _LAYERS: "Product,M,N,K,\n" + "".join(gemms),
            _LAYOUT: f"Product,{layout_columns}\n" + "".join(layouts),
        }

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        """Let SCALE-Sim run the network on one array; see `Simulator.evaluate`.

        Raises:
            ConfigError: If the tool is not there.
            SimulatorError: If the tool fails or its report is not as it should be.
            SimulatorTimeout: If it takes too long.
        """
        self._tool_version  # noqa: B018  # an interpreter without the tool is no crash of a design
        files = self.configuration(design)
        answer = self._program.call(["-I", _SCRIPT], files=files, read=[_REPORT])
        last_cycles = _read_report(answer.files[_REPORT], len(self._products))
        cycles = sum(
            copies * (last + 1)
            for copies, last in zip(self._products.values(), last_cycles, strict=True)
        )
        return Evaluation({"compute_cycles": float(cycles)}, wall_s=answer.wall_s)

    def evaluate_unbudgeted(self, design: Design) -> Evaluation:
        """Evaluate one design; there are no budgets."""
        return self.evaluate(design, seed=0)

    @cached_property
    def _program(self) -> Program:
        if not self._given and not os.environ.get(_VARIABLE):  # any python in PATH would be wrong
            raise ConfigError(
                f"no interpreter for SCALE-Sim is named. Give it as program=... or in the "
                f"environment variable {_VARIABLE}. {_REMEDY}"
            )
        return super()._program

    @cached_property
    def _tool_version(self) -> str:
        program = self._program
        try:
            said = program.call(["-I", "-c", _ASK_VERSION]).stdout
        except SimulatorTimeout as error:
            raise ConfigError(str(error)) from None
        except SimulatorError as error:
            raise ConfigError(f"{program.command[0]} has no scalesim. {_REMEDY} {error}") from None
        if not _VERSION.fullmatch(said):
            raise ConfigError(
                f"{program.command[0]} has scalesim {said.strip()[:80]!r}, but only versions 3.x "
                f"are understood. {_REMEDY}"
            )
        return said.strip()


def _config(design: Design) -> str:
    """Return the configuration of an array.

    SCALE-Sim's words have a byte, so its SRAMs get as many bytes as the design's hold words. All
    keys are required; offsets are addresses in words, and those of requests and banks have no
    effect without a bandwidth.
    """
    bits = mac(cast(str, design["precision"])).bits
    widths = {"ifmap": bits, "filter": bits, "ofmap": PARTIAL_SUM_BITS}
    sizes = {part: cast(int, design[f"{part}_kib"]) * 8 // width for part, width in widths.items()}
    return f"""\
[general]
run_name = {_RUN}

[architecture_presets]
ArrayHeight = {design["rows"]}
ArrayWidth = {design["columns"]}
IfmapSramSzkB = {sizes["ifmap"]}
FilterSramSzkB = {sizes["filter"]}
OfmapSramSzkB = {sizes["ofmap"]}
IfmapOffset = 0
FilterOffset = 1000000000
OfmapOffset = 2000000000
Dataflow = {design["dataflow"]}
Bandwidth = 10
ReadRequestBuffer = 512
WriteRequestBuffer = 512

[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2

[sparsity]
SparsitySupport = false

[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
"""


def _read_report(text: str, products: int) -> list[int]:
    """Return the last cycle of each product.

    Raises:
        SimulatorError: If the report has other columns or rows, a cycle is no whole number, or
            there are stalls.
    """
    header, *rows = [
        [cell.strip() for cell in row] for row in csv.reader(io.StringIO(text)) if row
    ] or [[]]
    if header != [*_COLUMNS, ""]:  # every line ends with a comma
        raise SimulatorError(f"{_REPORT} has other columns than expected: {', '.join(header)!r}.")
    if len(rows) != products:
        raise SimulatorError(f"{_REPORT} has {len(rows)} rows for {products} products.")
    last_cycles = []
    for place, row in enumerate(rows):
        if len(row) != len(header) or row[0] != str(place):
            raise SimulatorError(f"{_REPORT}: row {place} is {', '.join(row)!r}.")
        values = dict(zip(_COLUMNS, row, strict=False))
        if values["Stall Cycles"] != "0":
            raise SimulatorError(
                f"{_REPORT}: product {place} has stalls, {values['Stall Cycles'][:40]!r}, though "
                f"no bandwidth was given."
            )
        cycles = values["Total Cycles"]
        if not re.fullmatch(r"[0-9]{1,18}", cycles):
            raise SimulatorError(
                f"{_REPORT}: the cycles of product {place} are no whole number: {cycles[:40]!r}."
            )
        last_cycles.append(int(cycles))
    return last_cycles
