"""Cuts of a bound, compared with the plain rules."""

import math
from itertools import product

import pytest

from archgym_py.simulators.dnn.layers import DIMS
from archgym_py.simulators.dnn.mapping_cuts import ROLES, cuts_that_fit, largest_tiles
from archgym_py.simulators.dnn.mapping_hardware import array_architecture
from archgym_py.simulators.dnn.model import tile_words
from archgym_py.simulators.dnn.networks import as_network


@pytest.mark.parametrize("name", ["resnet18/conv1", "mobilenet_v2/b1.dw", "alexnet/conv2"])
def test_cuts_are_those_whose_tiles_fit_alone(name: str) -> None:
    layer = as_network(name).layers[0]
    built = array_architecture(array_x=8, array_y=4, l1_words=12, l2_words=512, l2_bandwidth=8)

    def fits(dim: str, extent: int, capacity: int) -> bool:
        words = tile_words(layer, dict.fromkeys(DIMS, 1) | {dim: extent})
        return sum(words.values()) <= capacity

    for dim, bound in zip(DIMS, layer.bounds, strict=True):
        largest = largest_tiles(layer, dim, built)
        divisors = [f for f in range(1, bound + 1) if bound % f == 0]
        for role in ROLES:
            found = cuts_that_fit(layer, dim, role, built, largest)
            spaces = {
                "": {1: (1, 1)},
                "x": {f: (f, 1) for f in divisors if 1 < f <= 8},
                "y": {f: (1, f) for f in divisors if 1 < f <= 4},
                "array": {
                    x * y: (x, y)
                    for x, y in product(range(1, 9), range(1, 5))
                    if x * y in divisors and x * y > 1
                },
            }[role]
            expected = {
                (l1, parts, l2, bound // (l1 * parts * l2))
                for l1, parts, l2 in product(divisors, spaces, divisors)
                if bound % (l1 * parts * l2) == 0
                and fits(dim, l1, 12)
                and fits(dim, l1 * parts * l2, 512)
            }
            assert set(found.texts) == {"*".join(map(str, cut)) for cut in expected}
            assert len(set(found.texts)) == len(found.texts)
            for (l1, x, y, l2, dram), text in zip(found.factors.tolist(), found.texts, strict=True):
                assert text == f"{l1}*{x * y}*{l2}*{dram}"
                assert math.prod((l1, x, y, l2, dram)) == bound
                assert (x, y) == spaces[x * y] or (role == "array" and x <= 8 and y <= 4)
