"""A program for the agent `external` that mutates the best design so far. Copy and change it."""

import json
import random
import sys
from typing import Any


def draw(rng: random.Random, parameter: dict[str, Any]) -> Any:  # a random value of a parameter
    if "values" in parameter:
        return rng.choice(parameter["values"])
    numbers = rng.randint if parameter["kind"] == "integer" else rng.uniform
    return numbers(parameter["low"], parameter["high"])


def search(start: dict[str, Any]) -> None:  # the space, the budget, the objective, the seed
    rng, best, answer = random.Random(start["seed"]), None, start
    while answer["type"] != "end":
        parameters = [p for p in start["space"]["parameters"] if not best or rng.random() < 0.25]
        design = (best["design"] if best else {}) | {p["name"]: draw(rng, p) for p in parameters}
        print(json.dumps({"designs": [design]}), flush=True)
        answer = json.loads(sys.stdin.readline())  # {"type": "trials", ...} or {"type": "end", ...}
        known = [best] * (best is not None) + answer.get("trials", [])
        best = max(known, key=lambda trial: trial["reward"], default=None)


if __name__ == "__main__":
    search(json.loads(sys.stdin.readline()))
