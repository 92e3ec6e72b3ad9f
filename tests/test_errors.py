import pytest

from archgym_py import errors
from archgym_py.errors import ArchGymError, did_you_mean


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name[0].isupper()])
def test_every_error_is_caught_as_one_of_ours(name: str) -> None:
    assert issubclass(getattr(errors, name), ArchGymError)


def test_errors_are_also_the_builtin_that_a_reader_expects() -> None:
    for name in ("SpaceError", "DesignError", "ActionError", "ConfigError", "TraceError"):
        assert issubclass(getattr(errors, name), ValueError)
    assert issubclass(errors.UnknownNameError, LookupError)


def test_simulator_failures_share_a_base() -> None:
    assert issubclass(errors.InfeasibleDesign, errors.SimulatorError)
    assert issubclass(errors.SimulatorTimeout, errors.SimulatorError)


@pytest.mark.parametrize(
    ("name", "known", "ending"),
    [
        ("Fif", ["Simple", "Fifo"], " Did you mean 'Fifo'?"),
        ("FIFO", ["Simple", "Fifo"], " Did you mean 'Fifo'?"),
        ("lru", ["Simple", "Fifo"], " Known: Simple, Fifo."),
        ("", iter(["Simple"]), " Known: Simple."),
        ("lru", [], " None are known."),
    ],
)
def test_misspelt_names_get_a_suggestion(name: str, known: list[str], ending: str) -> None:
    assert did_you_mean(name, known) == ending
