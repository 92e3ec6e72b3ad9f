"""Names of the agents, backends, experiments, proxies and simulators that come with the library.

A registry holds strings and imports what they name on first use: listing the names costs nothing,
and the core never imports an agent or a simulator.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from archgym_py.errors import ConfigError, UnknownNameError, did_you_mean

__all__ = ["AGENTS", "BACKENDS", "EXPERIMENTS", "PROXIES", "SIMULATORS", "Registry"]


class Registry:
    """Maps names to "module:Attribute" strings and imports them on demand.

    Args:
        kind: What the names stand for, used in error messages ("agent").
        entries: Name to "module:Attribute".

    Raises:
        ConfigError: If an entry is not of the form "module:Attribute".

    Examples:
        >>> shapes = Registry("shape", {"fraction": "fractions:Fraction"})
        >>> shapes.names()
        ('fraction',)
        >>> shapes.load("fraction")(1, 2)
        Fraction(1, 2)
        >>> shapes.load("fractoin")
        Traceback (most recent call last):
        archgym_py.errors.UnknownNameError: unknown shape 'fractoin'. Did you mean 'fraction'?
    """

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self._entries: dict[str, tuple[str, str]] = {}
        for name, target in entries.items():
            module, separator, attribute = target.partition(":")
            if not (module and separator and attribute):
                raise ConfigError(
                    f"{kind} {name!r}: {target!r} is not of the form 'module:Attribute'."
                )
            self._entries[name] = (module, attribute)

    def names(self) -> tuple[str, ...]:
        """Return the registered names, sorted."""
        return tuple(sorted(self._entries))

    def __contains__(self, name: object) -> bool:
        """Return whether `name` is registered."""
        return name in self._entries

    def load(self, name: str) -> Any:
        """Import and return what `name` stands for.

        Args:
            name: A registered name.

        Returns:
            The attribute that the entry points at, usually a class.

        Raises:
            UnknownNameError: If the name is not registered.
            ImportError: If the module cannot be imported.
            AttributeError: If the module lacks the attribute.
        """
        if name not in self._entries:
            raise UnknownNameError(
                f"unknown {self.kind} {name!r}.{did_you_mean(name, self.names())}"
            )
        module, attribute = self._entries[name]
        return getattr(importlib.import_module(module), attribute)


AGENTS = Registry(
    "agent",
    {
        "a2c": "archgym_py.agents.a2c:A2C",
        "ant_colony": "archgym_py.agents.ant_colony:AntColony",
        "bayesian": "archgym_py.agents.bayesian:Bayesian",
        "cma_es": "archgym_py.agents.cma_es:CMAES",
        "dqn": "archgym_py.agents.dqn:DQN",
        "external": "archgym_py.agents.external:External",
        "genetic": "archgym_py.agents.genetic:Genetic",
        "grid": "archgym_py.agents.grid:Grid",
        "local_search": "archgym_py.agents.local_search:LocalSearch",
        "multi_agent": "archgym_py.agents.multi_agent:MultiAgent",
        "nsga2": "archgym_py.agents.nsga2:NSGA2",
        "policy_gradient": "archgym_py.agents.policy_gradient:PolicyGradient",
        "ppo": "archgym_py.agents.ppo:PPO",
        "quasi_random": "archgym_py.agents.quasi_random:QuasiRandom",
        "random_search": "archgym_py.agents.random_search:RandomSearch",
        "sac": "archgym_py.agents.sac:SAC",
        "simulated_annealing": "archgym_py.agents.simulated_annealing:SimulatedAnnealing",
        "surrogate_assisted": "archgym_py.agents.surrogate_assisted:SurrogateAssisted",
        "td3": "archgym_py.agents.td3:TD3",
    },
)
BACKENDS = Registry(
    "backend",
    {
        "dramsys": "archgym_py.simulators.dram.dramsys:DRAMSys",
        "ramulator2": "archgym_py.simulators.dram.ramulator2:Ramulator2",
        "scalesim": "archgym_py.simulators.dnn.scalesim:ScaleSim",
        "timeloop": "archgym_py.simulators.dnn.timeloop:Timeloop",
        "zigzag": "archgym_py.simulators.dnn.zigzag:ZigZag",
    },
)
EXPERIMENTS = Registry(
    "experiment",
    {
        "accelerators": "archgym_py.experiments.accelerators:AcceleratorsExperiment",
        "agents": "archgym_py.experiments.agents:AgentsExperiment",
        "arvr": "archgym_py.experiments.arvr:ARVRExperiment",
        "defaults": "archgym_py.experiments.defaults:DefaultsExperiment",
        "lottery": "archgym_py.experiments.lottery:LotteryExperiment",
        "proxy_study": "archgym_py.experiments.proxy_study:ProxyStudyExperiment",
        "sample_budget": "archgym_py.experiments.sample_budget:SampleBudgetExperiment",
        "scheduling": "archgym_py.experiments.scheduling:SchedulingExperiment",
        "sensitivity": "archgym_py.experiments.sensitivity:SensitivityExperiment",
        "targets": "archgym_py.experiments.targets:TargetsExperiment",
    },
)
PROXIES = Registry(
    "proxy",
    {
        "gradient_boosting": "archgym_py.simulators.proxies.gradient_boosting:GradientBoosting",
        "linear": "archgym_py.simulators.proxies.linear:Linear",
        "mlp_ensemble": "archgym_py.simulators.proxies.mlp_ensemble:MLPEnsemble",
        "random_forest": "archgym_py.simulators.proxies.random_forest:RandomForest",
    },
)
SIMULATORS = Registry(
    "simulator",
    {
        "arvr_soc": "archgym_py.simulators.soc.arvr:ARVRSimulator",
        "dnn": "archgym_py.simulators.dnn.accelerator:AcceleratorSimulator",
        "dnn_mapping": "archgym_py.simulators.dnn.mapping_search:MappingSimulator",
        "dram": "archgym_py.simulators.dram.model:DRAMSimulator",
        "soc": "archgym_py.simulators.soc.design:SoCDesignSimulator",
        "systolic": "archgym_py.simulators.dnn.systolic_array:SystolicSimulator",
        "toy": "archgym_py.simulators.toy:ToySimulator",
    },
)
