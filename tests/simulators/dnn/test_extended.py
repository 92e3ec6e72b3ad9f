from typing import Any

import numpy as np
import pytest

from archgym_py.errors import InfeasibleDesign
from archgym_py.simulator import Status
from archgym_py.simulators.dnn.accelerator import AcceleratorSimulator
from archgym_py.simulators.dnn.extended import EXTENDED
from archgym_py.simulators.dnn.layers import TENSORS
from archgym_py.simulators.dnn.mapper import Mapper
from archgym_py.simulators.dnn.networks import as_network
from archgym_py.simulators.dnn.platforms import Machine
from archgym_py.space import Design

BITS = {"int8": 8, "int16": 16, "bf16": 16, "fp16": 16, "fp32": 32}


def build(**changes: Any) -> Machine:
    return EXTENDED.build({**EXTENDED.space.default(), **changes})


def designs(count: int, seed: int = 0) -> list[Design]:
    rng = np.random.default_rng(seed)
    return [EXTENDED.space.sample(rng) for _ in range(count)]


def test_the_default_is_like_the_published_eyeriss() -> None:
    machine = build()
    assert machine.architecture.compute.instances == 168
    assert machine.dataflow.name == "row_stationary"
    assert machine.clock_mhz == 200.0
    capacities = [level.capacity_words for level in machine.architecture.levels]
    assert capacities == [16, 256, 16, 65536, None]


def test_every_part_follows_its_parameter() -> None:
    for design in designs(60):
        machine = EXTENDED.build(design)
        output, weight, inputs, glb, memory = machine.architecture.levels
        bits = BITS[str(design["precision"])]
        words = [design[f"{tensor}_rf_words"] for tensor in ("output", "weight", "input")]
        files = (output, weight, inputs)
        assert [level.capacity_words or 0 for level in files] == words
        assert glb.capacity_words == int(design["glb_kib"]) * 8192 // bits
        assert (glb.read_bandwidth, glb.write_bandwidth) == (design["glb_bandwidth"],) * 2
        assert output.word_bits == 32
        assert {level.word_bits for level in machine.architecture.levels[1:]} == {bits}
        assert memory.block_size * bits == 64
        assert machine.clock_mhz == design["clock_mhz"]
        compute = machine.architecture.compute
        assert (compute.mesh_x, compute.mesh_y) == (design["array_x"], design["array_y"])
        assert machine.dataflow.name == design["dataflow"]
        for level in files:
            assert (level.area_um2 > 0) == (level.capacity_words is not None)


@pytest.mark.parametrize(
    ("number", "parameter", "tensor"),
    [(0, "output", "Outputs"), (1, "weight", "Weights"), (2, "input", "Inputs")],
)
def test_a_register_file_of_no_words_is_absent(number: int, parameter: str, tensor: str) -> None:
    absent = build(**{f"{parameter}_rf_words": 0})
    assert absent.dataflow.rules[number].keep == ()
    assert absent.architecture.levels[number].read_pj == 0
    assert build().dataflow.rules[number].keep == (tensor,)
    assert [rule.keep for rule in absent.dataflow.rules[3:]] == [TENSORS, TENSORS]


def test_a_faster_clock_takes_larger_multipliers() -> None:
    slow, fast = (build(clock_mhz=clock).architecture.compute for clock in (200, 1000))
    assert fast.mac_pj > slow.mac_pj
    assert fast.area_um2 > slow.area_um2


def test_a_channel_more_is_as_much_bandwidth_more() -> None:
    one, four = (build(dram_channels=n).architecture.levels[-1] for n in (1, 4))
    assert one.shared_bandwidth is not None
    assert four.shared_bandwidth == pytest.approx(4 * one.shared_bandwidth)
    faster = build(clock_mhz=400).architecture.levels[-1]
    assert faster.shared_bandwidth == pytest.approx(one.shared_bandwidth / 2)
    # 12.8 GB/s at 200 MHz are 64 bytes per cycle
    assert build(dram="LPDDR4", precision="int8").architecture.levels[-1].shared_bandwidth == (
        pytest.approx(2 * one.shared_bandwidth)
    )


def test_smaller_nodes_cost_less() -> None:
    for precision in BITS:
        for small, large in ((7, 14), (14, 22), (22, 32), (32, 45)):
            less, more = (
                build(node_nm=n, precision=precision).architecture for n in (small, large)
            )
            assert less.area_um2 < more.area_um2
            assert less.compute.mac_pj < more.compute.mac_pj
            assert less.levels[3].read_pj < more.levels[3].read_pj
            assert less.levels[4].read_pj == more.levels[4].read_pj  # DRAM does not scale


def test_more_than_95_percent_of_designs_are_feasible() -> None:
    layers = as_network("alexnet").layers
    feasible = 0
    drawn = designs(300)
    for design in drawn:
        machine = EXTENDED.build(design)
        mapper = Mapper(machine.dataflow)
        try:
            for layer in layers:
                mapper.check_feasible(layer, machine.architecture)
        except InfeasibleDesign:
            continue
        feasible += 1
    assert feasible > 0.95 * len(drawn)


def test_feasible_designs_can_be_mapped() -> None:
    simulator = AcceleratorSimulator("alexnet/conv3", platform=EXTENDED, effort=20, threads=1)
    evaluations = [simulator.evaluate(design, seed=0) for design in designs(60, seed=5)]
    assert sum(each.status is Status.OK for each in evaluations) >= 57


def test_each_dataflow_has_its_own_mappings() -> None:
    simulator = AcceleratorSimulator("alexnet/conv3", platform=EXTENDED, effort=50, threads=1)
    energies = set()
    for dataflow in ("row_stationary", "weight_stationary", "output_stationary"):
        design = {**EXTENDED.space.default(), "dataflow": dataflow}
        energies.add(simulator.evaluate(design, seed=0).metrics["energy_uj"])
    assert len(energies) == 3
