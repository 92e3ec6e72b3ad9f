"""From nothing to a verified design found on a proxy, through every command on the way.

    $ python -m archgym_py.experiments.round_trip dram --out runs/round_trip

1. `archgym dataset collect` starts a collection and is killed when some of its runs are finished.
2. The same command with `--resume` completes it.
3. `archgym run` logs samples of one agent more elsewhere, and `archgym dataset merge` joins them.
4. `archgym proxy fit` fits a proxy and saves it.
5. A search in a new process runs on the proxy: `archgym run --set simulator=proxy:FILE`.
6. `archgym replay` repeats that search's predictions, and its best design is evaluated on the
   simulator.

Every step is a process of its own, so that nothing but files passes from one to the next.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from archgym_py.collect import load_collection
from archgym_py.dataset import SampleDataset
from archgym_py.errors import ArchGymError
from archgym_py.runner import make_env

__all__ = ["Verified", "main", "round_trip"]

_POLL_S = 0.05
_PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True)
class Verified:
    """The end of a round trip.

    Attributes:
        samples: Samples that the proxy was fitted from, duplicates included.
        runs_before_kill: Runs that were finished when the collection was killed.
        predicted: Reward of the best design on the proxy.
        true: Its reward on the simulator.
        default: Reward of the default design on the simulator.
    """

    samples: int
    runs_before_kill: int
    predicted: float
    true: float
    default: float


def round_trip(
    collection: str,
    out: Path,
    *,
    agent: str = "genetic",
    budget: int = 1000,
    more: int = 500,
    seed: int = 0,
    write: Callable[[str], object],
) -> Verified:
    """Make the round trip.

    Args:
        collection: Name or file of a collection; its last problem is searched.
        out: Folder for everything; must not exist.
        agent: Agent that searches on the proxy.
        budget: Its number of samples.
        more: Random samples that are merged with the collection.
        seed: Seed of the proxy and of the search.
        write: Takes lines about the steps.

    Returns:
        What was found.

    Raises:
        ArchGymError: If the folder exists, or a step fails; the message has the command and the end
            of what it said.
    """
    if out.exists():
        raise ArchGymError(f"{out}: exists already. A round trip starts from nothing.")
    config = load_collection(collection)
    env_id, kwargs = config.problems()[-1]
    data, single, merged = out / "data", out / "more", out / "merged"
    proxy, searched = out / "proxy.safetensors", out / "searched"
    settings = [word for item in kwargs.items() for word in _setting(*item)]

    begun = ["dataset", "collect", collection, "--out", str(data)]
    finished = _kill_in_the_middle(begun, data, runs=max(1, len(config.runs()) // 4))
    write(f"collection killed after {finished} finished runs")
    _archgym(*begun, "--resume")
    write(f"collection resumed and completed: {len(SampleDataset(data))} samples")
    on = ["--env", env_id, *settings]
    random = ["--agent", "random_search", "--budget", str(more), "--seed", str(10_000 + seed)]
    _archgym("run", *on, *random, "--out", str(single))
    _archgym("dataset", "merge", str(data), str(single), "--out", str(merged))
    samples = len(SampleDataset(merged))
    write(f"merged: {samples} samples")
    write(_archgym("proxy", "fit", str(merged), "--out", str(proxy), "--seed", str(seed)))
    with_proxy = [*on, "--set", f"simulator=proxy:{proxy}"]
    search = ["--agent", agent, "--budget", str(budget), "--seed", str(seed)]
    _archgym("run", *with_proxy, *search, "--out", str(searched))
    _archgym("replay", str(searched))

    best = SampleDataset(searched).best()
    if best is None:
        raise ArchGymError(f"{searched}: the search found no feasible design.")
    env = make_env(env_id, kwargs)
    try:
        default, true = env.evaluator.evaluate_batch([env.space.default(), best.design])
    finally:
        env.close()
    write(f"best design on the proxy: {json.dumps(dict(best.design))}")
    for name, predicted in best.metrics.items():
        write(f"  {name}: predicted {predicted:.6g}, simulated {true.metrics.get(name, 'nothing')}")
    found = Verified(samples, finished, best.reward, true.reward, default.reward)
    write(
        f"reward: predicted {found.predicted:.4f}, simulated {found.true:.4f}, default design "
        f"{found.default:.4f}"
    )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a round trip as the command line asks for it."""
    parser = argparse.ArgumentParser(
        prog="python -m archgym_py.experiments.round_trip",
        description="Collect, kill, resume, merge, fit, save, load, search on the proxy, verify.",
    )
    parser.add_argument("collection", help="name or file of a collection")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/round_trip"),
        help="new folder (default: %(default)s)",
    )
    parser.add_argument("--agent", default="genetic", help="who searches (default: %(default)s)")
    parser.add_argument(
        "--budget", type=int, default=1000, help="samples of the search (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    args = parser.parse_args(arguments)
    try:
        round_trip(
            args.collection,
            args.out,
            agent=args.agent,
            budget=args.budget,
            seed=args.seed,
            write=lambda text: sys.stdout.write(f"{text}\n"),
        )
    except ArchGymError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _setting(name: str, value: object) -> tuple[str, str]:
    return "--set", f"{name}={json.dumps(value)}"


def _archgym(*arguments: str) -> str:
    """Run the command in a process of its own and return what it wrote."""
    command = [sys.executable, "-m", "archgym_py.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ArchGymError(
            f"archgym {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-2000:]}"
        )
    return done.stdout.rstrip()


def _kill_in_the_middle(arguments: Sequence[str], folder: Path, *, runs: int) -> int:
    """Start the command and kill it when some runs have ended; return how many had."""
    command = [sys.executable, "-m", "archgym_py.cli", *arguments]
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=nowhere, stderr=nowhere) as process:
        end = time.monotonic() + _PATIENCE_S
        while process.poll() is None and time.monotonic() < end:
            if len(list(folder.rglob("_state.json"))) >= runs:
                break
            time.sleep(_POLL_S)
        process.kill()
    finished = len(list(folder.rglob("_state.json")))
    if process.returncode == 0:
        raise ArchGymError(f"{folder}: was complete before it could be killed. Collect more.")
    if not finished:
        raise ArchGymError(f"{folder}: no run had ended after {_PATIENCE_S:.0f} s.")
    return finished


if __name__ == "__main__":
    sys.exit(main())
