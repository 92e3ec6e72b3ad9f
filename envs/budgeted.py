"""Environments whose designs have to keep budgets that their reference design may exceed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from archgym_py.environment import DesignEnv
from archgym_py.errors import ConfigError, SimulatorError
from archgym_py.simulator import Evaluation, Simulator, Status, reference_of
from archgym_py.space import Design, ParameterSpace

__all__ = ["BudgetedEnv"]


class _Budgeted(Protocol):
    """A simulator that can leave its budgets out."""

    def evaluate_unbudgeted(self, design: Design) -> Evaluation: ...


class BudgetedEnv(DesignEnv):
    """A `DesignEnv` whose baseline is a reference design, whether or not it keeps the budgets.

    Args:
        space: The designs.
        simulator: What evaluates them; it has a method `evaluate_unbudgeted`.
        objective: What is rewarded.
        reference: A design, perhaps not of the space, that works but for the budgets.
        **options: Other arguments of `DesignEnv`.
    """

    def __init__(
        self,
        space: ParameterSpace,
        simulator: Simulator,
        objective: str | Mapping[str, Any],
        *,
        reference: Design,
        **options: Any,
    ) -> None:
        self._reference = reference
        super().__init__(space, simulator, objective, **options)

    @property
    def baseline(self) -> Mapping[str, float]:
        """Metrics of the reference design, unless others were given.

        Raises:
            ConfigError: If the reference design does not work.
        """
        if self._baseline is None:
            simulator = cast(_Budgeted, reference_of(self.simulator))
            try:
                evaluation = simulator.evaluate_unbudgeted(self._reference)
            except SimulatorError as error:
                raise ConfigError(
                    f"the default design is what others are compared with, but "
                    f"{self.simulator.name} cannot evaluate it: {error} Give the metrics of "
                    f"another one as baseline."
                ) from error
            if evaluation.status is not Status.OK:
                raise ConfigError(
                    f"the default design is what others are compared with and must work but for "
                    f"the budgets, but it is {evaluation.status}: {evaluation.message} Give the "
                    f"metrics of another one as baseline."
                )
            self._baseline = dict(evaluation.metrics)
        return self._baseline
