"""The table of Gymnasium ids, and their registration.

Importing `archgym_py` registers the table, so `gymnasium.make("archgym_py:ArchGym/Toy-v0")` works
in any process. The entry points are strings: registering imports no environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym

__all__ = ["ENVS", "EnvEntry", "register_all"]


@dataclass(frozen=True, slots=True)
class EnvEntry:
    """One registered environment.

    Attributes:
        id: Gymnasium id, "ArchGym/Name-vN".
        entry_point: "module:Class" of the environment; the class takes keyword arguments.
        vector_entry_point: The same for the batched form, None where there is none.
        doc: One line that says what is designed.
        kwargs: Keyword arguments given to both unless `gymnasium.make` overrides them.
        is_design: Whether it is a `DesignEnv`, in which design agents search; otherwise a policy
            makes decisions in it while time passes.
    """

    id: str
    entry_point: str
    vector_entry_point: str | None
    doc: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    is_design: bool = True


ENVS: tuple[EnvEntry, ...] = (
    EnvEntry(
        "ArchGym/ARVRSoC-v0",
        "archgym_py.envs.arvr_soc:ARVRSoCEnv",
        "archgym_py.envs.arvr_soc:ARVRSoCVectorEnv",
        "a system on a chip for augmented or virtual reality; a step is a design",
    ),
    EnvEntry(
        "ArchGym/ARVRSoCSequential-v0",
        "archgym_py.envs.arvr_soc:ARVRSoCSequentialEnv",
        None,
        "a system on a chip for augmented or virtual reality; a step is the value of one parameter",
    ),
    EnvEntry(
        "ArchGym/DNNAccelerator-v0",
        "archgym_py.envs.dnn:DNNAcceleratorEnv",
        "archgym_py.envs.dnn:DNNAcceleratorVectorEnv",
        "a DNN accelerator; a step is a design",
    ),
    EnvEntry(
        "ArchGym/DNNAcceleratorSequential-v0",
        "archgym_py.envs.dnn:DNNAcceleratorSequentialEnv",
        None,
        "a DNN accelerator; a step is the value of one parameter",
    ),
    EnvEntry(
        "ArchGym/DNNMapping-v0",
        "archgym_py.envs.dnn_mapping:DNNMappingEnv",
        "archgym_py.envs.dnn_mapping:DNNMappingVectorEnv",
        "the mapping of a layer on a fixed DNN accelerator; a step is a mapping",
    ),
    EnvEntry(
        "ArchGym/DNNMappingSequential-v0",
        "archgym_py.envs.dnn_mapping:DNNMappingSequentialEnv",
        None,
        "the mapping of a layer on a fixed DNN accelerator; a step is the value of one parameter",
    ),
    EnvEntry(
        "ArchGym/DRAMController-v0",
        "archgym_py.envs.dram:DRAMControllerEnv",
        "archgym_py.envs.dram:DRAMControllerVectorEnv",
        "a DRAM memory controller; a step is a design",
    ),
    EnvEntry(
        "ArchGym/DRAMControllerSequential-v0",
        "archgym_py.envs.dram:DRAMControllerSequentialEnv",
        None,
        "a DRAM memory controller; a step is the value of one parameter",
    ),
    EnvEntry(
        "ArchGym/SoCDesign-v0",
        "archgym_py.envs.soc_design:SoCDesignEnv",
        "archgym_py.envs.soc_design:SoCDesignVectorEnv",
        "a system on a chip for a mix of jobs; a step is a design",
    ),
    EnvEntry(
        "ArchGym/SoCDesignSequential-v0",
        "archgym_py.envs.soc_design:SoCDesignSequentialEnv",
        None,
        "a system on a chip for a mix of jobs; a step is the value of one parameter",
    ),
    EnvEntry(
        "ArchGym/SoCFrequency-v0",
        "archgym_py.envs.soc_scheduler:SoCFrequencyEnv",
        None,
        "the frequencies of a SoC while jobs run; a step is a period of time",
        is_design=False,
    ),
    EnvEntry(
        "ArchGym/SoCScheduler-v0",
        "archgym_py.envs.soc_scheduler:SoCSchedulerEnv",
        "archgym_py.envs.soc_scheduler:SoCSchedulerVectorEnv",
        "a schedule on a SoC; a step places a task that is ready",
        is_design=False,
    ),
    EnvEntry(
        "ArchGym/SystolicArray-v0",
        "archgym_py.envs.systolic:SystolicArrayEnv",
        "archgym_py.envs.systolic:SystolicArrayVectorEnv",
        "a systolic array; a step is a design",
    ),
    EnvEntry(
        "ArchGym/SystolicArraySequential-v0",
        "archgym_py.envs.systolic:SystolicArraySequentialEnv",
        None,
        "a systolic array; a step is the value of one parameter",
    ),
    EnvEntry(
        "ArchGym/Toy-v0",
        "archgym_py.envs.toy:ToyEnv",
        "archgym_py.envs.toy:ToyVectorEnv",
        "a toy multiply-accumulate unit with a known optimum; a step is a design",
    ),
    EnvEntry(
        "ArchGym/ToySequential-v0",
        "archgym_py.envs.toy:ToySequentialEnv",
        None,
        "a toy multiply-accumulate unit; a step is the value of one parameter",
    ),
)
"""All environments of the library; tests and the command line read this table."""


def register_all() -> None:
    """Register `ENVS` with Gymnasium; ids that are registered already are left alone.

    Examples:
        >>> register_all()
        >>> gym.spec("ArchGym/Toy-v0").entry_point
        'archgym_py.envs.toy:ToyEnv'
    """
    for entry in ENVS:
        if entry.id not in gym.registry:
            gym.register(
                entry.id,
                entry_point=entry.entry_point,
                vector_entry_point=entry.vector_entry_point,
                kwargs=dict(entry.kwargs),
            )
