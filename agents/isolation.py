"""Keeps the state that torch and others share with the whole process out of an agent's way."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from archgym_py.errors import require

__all__ = ["isolated"]


@contextmanager
def isolated(seed: int | None = None) -> Iterator[None]:
    """Run a block with random states of its own and with one thread.

    Libraries that draw from global generators so neither see nor change those of the program. The
    sums of floats depend on how they are split between threads: with one of them, the same seed
    gives the same samples on any number of cores.

    Args:
        seed: Seed of the global generators within the block; None to leave them as they are.
    """
    torch = require("torch", extra="agents")
    threads = torch.get_num_threads()
    states = random.getstate(), np.random.get_state()  # noqa: NPY002  # libraries draw from it
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            if seed is not None:
                random.seed(seed)
                np.random.seed(seed)  # noqa: NPY002
                torch.random.default_generator.manual_seed(seed)
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_num_threads(threads)
