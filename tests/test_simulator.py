import math

import pytest

from archgym_py.design import Design
from archgym_py.errors import ConfigError
from archgym_py.simulator import BatchSimulator, Evaluation, Metric, Simulator, Status


class Adder:
    """The least that a simulator can be."""

    name = "adder"
    version = "1"
    deterministic = True
    metrics = (Metric("sum", "1", 0.0, 10.0),)

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        return Evaluation({"sum": float(design["a"]) + float(design["b"])})

    def close(self) -> None:
        pass


class BatchAdder(Adder):
    def evaluate_batch(self, designs: list[Design], *, seeds: list[int]) -> list[Evaluation]:
        return [self.evaluate(d, seed=s) for d, s in zip(designs, seeds, strict=True)]


def test_class_attributes_make_a_simulator() -> None:
    simulator: Simulator = Adder()  # checked by mypy
    assert simulator.evaluate({"a": 1, "b": 2}, seed=0) == Evaluation({"sum": 3.0})


def test_batch_simulators_are_recognised_at_run_time() -> None:
    assert isinstance(BatchAdder(), BatchSimulator)
    assert not isinstance(Adder(), BatchSimulator)


def test_statuses_are_the_words_of_the_log() -> None:
    assert [str(status) for status in Status] == ["ok", "infeasible", "timeout", "crashed"]


def test_an_evaluation_is_ok_unless_it_says_otherwise() -> None:
    evaluation = Evaluation({"sum": 1.0})
    assert evaluation.status is Status.OK
    assert (evaluation.message, evaluation.wall_s) == ("", 0.0)
    assert Evaluation(status=Status.CRASHED).metrics == {}


@pytest.mark.parametrize(
    "bounds", [(1.0, 1.0), (2.0, 1.0), (-math.inf, 0.0), (0.0, math.inf), (math.nan, 1.0)]
)
def test_metrics_have_finite_bounds(bounds: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="'time': bounds must be finite with low < high"):
        Metric("time", "ns", *bounds)
