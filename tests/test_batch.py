import pickle

import numpy as np
import pytest

from archgym_py.batch import Decoder
from archgym_py.space import Choice, Integer, Ordinal, Parameter, ParameterSpace, Real

PARAMETERS: tuple[Parameter, ...] = (
    Choice("policy", ("lru", "random")),
    Ordinal("ways", (1, 2, 4, 8)),
    Integer("seed", 0, 2**20),  # too many values for a list
    Real("share", 0.0, 1.0, default=0.5, active_when={"policy": ("lru",)}),
)


@pytest.fixture
def units() -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.random.default_rng(1).random((50, len(PARAMETERS)))


def test_a_decoder_can_be_pickled(
    units: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> None:
    decoder = Decoder(PARAMETERS)
    copy = pickle.loads(pickle.dumps(decoder))  # noqa: S301 - our own
    canonical, active = decoder.canonical(units)
    for mine, other in zip((canonical, active), copy.canonical(units), strict=True):
        np.testing.assert_array_equal(mine, other)
    assert copy.designs(canonical) == decoder.designs(canonical)


def test_a_space_that_has_decoded_a_batch_can_be_pickled(
    units: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> None:
    space = ParameterSpace(PARAMETERS)
    designs = space.batch(units).designs
    copy = pickle.loads(pickle.dumps(space))  # noqa: S301 - our own
    assert copy == space
    assert copy.batch(units).designs == designs
