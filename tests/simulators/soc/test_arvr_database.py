"""The types of blocks and their order."""

from __future__ import annotations

import numpy as np
import pytest

from archgym_py.errors import UnknownNameError
from archgym_py.simulators.soc.arvr_database import BlockLibrary, load_hardware, unrolls
from archgym_py.simulators.soc.arvr_workloads import Task, load_workload


@pytest.mark.parametrize(
    ("name", "count"), [("edge_detection", 376), ("hpvm_cava", 252), ("audio_decoder", 300)]
)
def test_counts(name: str, count: int) -> None:
    blocks = BlockLibrary(load_workload(name))
    assert (len(blocks.processors), len(blocks.memories), len(blocks.buses)) == (count + 1, 48, 24)
    assert len({block.name for block in blocks.processors}) == count + 1


def test_the_published_order() -> None:
    blocks = BlockLibrary(load_workload("edge_detection"))
    assert blocks.processors[0].name == "A53"
    assert blocks.processors[211].name == "computeGradient_IP0_2_6"
    assert blocks.processors[97].name == "laplacianEstimate_IP0_128_1"
    assert blocks.processors[336].name == "rejectZeroCrossings_IP0_64_8"
    assert [blocks.memories[k].name for k in (0, 3, 16, 24, 47)] == [
        *("GMEM_0_1", "GMEM_0_8", "GMEM_4_1", "LMEM_0_1", "LMEM_5_8")
    ]
    assert [blocks.buses[k].name for k in (2, 23)] == ["LMEM_ic_0_6", "LMEM_ic_5_8"]
    assert blocks.memories[24].technology == "sram"
    assert blocks.memories[47].bandwidth == 8 * 128 * 1e8
    assert (blocks.buses[23].clock_mhz, blocks.buses[23].width_bytes) == (800, 128)


def test_the_accelerators_may_have_an_order_of_their_own() -> None:
    blocks = BlockLibrary(load_workload("audio_decoder"))
    assert [blocks.processors[k].name for k in (1, 5, 140, 229, 300)] == [
        "rotatorSet_fxp_cloned_IP0_1_1",
        "psychoFilter_fxp_cloned_IP0_1_1",
        "rotateOrder3_fxp_cloned_IP0_1024_8",
        "FIR_right_fxp_cloned_IP0_4_1",
        "overlap_right_fxp_cloned_IP0_1_8",
    ]


def test_an_accelerator() -> None:
    blocks = BlockLibrary(load_workload("edge_detection"))
    task = load_workload("edge_detection").tasks[1]
    ip = blocks.processor("gaussianSmoothing_IP0_4_6")
    assert task.work / ip.rate == pytest.approx(331284480 / 1e8 / 24)
    assert task.work * ip.energy == pytest.approx(233984e-15 * 0.064 * 4)
    assert ip.area == pytest.approx(137341e-12 * 0.0374 * 4)
    assert ip.runs(task)
    assert ip.runs(Task(name="dummy"))
    assert not ip.runs(Task(name="other", a53_cycles=1))
    assert blocks.processor("A53").runs(task)
    assert blocks.processor("A53").rate == 2e9


def test_unrolls() -> None:
    def of(iterations: int) -> tuple[int, ...]:
        figures = {"ip_cycles": 1, "ip_energy": 1, "ip_area": 1, "loop_iterations": iterations}
        return unrolls(Task(name="t", a53_cycles=1, **figures))

    assert of(1) == (1,)
    assert of(256) == (1, 2, 4, 8, 16, 32, 64, 128, 256)
    assert of(16_400) == (*(1 << p for p in range(15)), 16_400)
    assert of(65_536) == tuple(1 << p for p in range(17))
    assert of(1_638_400) == (*(1 << p for p in range(16)), 1_638_400)


def test_the_memory_table() -> None:
    table = load_hardware().table
    assert table.read.shape == table.write.shape == table.area.shape == (2, 210)
    assert table.step_bytes == 256_000
    assert table.most_bytes == 53_760_000
    assert np.all(table.area > 0)
    assert table.read[0, 0] == 1.7499120000000003e-13
    assert table.write[1, 1] == 1.9615680000000003e-11


def test_unknown_types() -> None:
    blocks = BlockLibrary(load_workload("edge_detection"))
    with pytest.raises(UnknownNameError, match=r"no processor 'A35'.*Did you mean 'A53'"):
        blocks.processor("A35")
    with pytest.raises(UnknownNameError, match=r"no memory 'flash'.*It is one such as GMEM_0_1"):
        blocks.memory_index("flash")
    with pytest.raises(UnknownNameError, match="no bus"):
        blocks.bus_index("GMEM_0_1")
