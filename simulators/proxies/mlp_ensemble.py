"""An ensemble of neural networks.

>>> features = np.linspace(0.0, 1.0, 50, dtype=np.float32)[:, None]
>>> model = MLPEnsemble(seed=1, width=32, updates=200)
>>> model.fit(features, np.sin(6.0 * features.astype(np.float64)))
>>> bool(abs(model.predict(features[:1]).mean[0, 0]) < 0.1)
True
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from archgym_py.cores import cores
from archgym_py.errors import ConfigError, require
from archgym_py.parameters import Integer, Real
from archgym_py.space import ParameterSpace
from archgym_py.surrogate import Prediction, Progress, Surrogate, Tensors, check_tensors

__all__ = ["MLPEnsemble"]

_BLOCK = 4096
"""Rows that are predicted at a time, to bound the memory for activations."""


_LONGEST_GRADIENT = 1.0
"""Norm to which longer gradients are cut: a single odd batch must not undo what was learned."""


_REPORT_S = 0.2
"""Seconds between reports on the progress of a fit."""


class MLPEnsemble(Surrogate):
    """Fully connected networks that start from different weights and see examples in other orders.

    Spread between such networks is a simple measure of what they do not know (Lakshminarayanan et
    al., "Simple and scalable predictive uncertainty estimation using deep ensembles", 2017). Each
    predicts all targets. They use SiLU activations and are trained on the squared error by AdamW
    with a learning rate that rises and falls once (Smith and Topin, "Super-convergence", 2018).

    The number of updates is given, not that of passes through the examples: a fit takes about the
    same time for any number of them. It uses a GPU if torch finds one.
    """

    name: ClassVar[str] = "mlp_ensemble"
    doc: ClassVar[str] = "mean and spread of neural networks"
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Integer("members", 2, 20, default=4, doc="number of networks"),
            Integer("layers", 1, 8, default=3, doc="hidden layers of a network"),
            Integer("width", 1, 4096, default=192, doc="units of a hidden layer"),
            Integer("updates", 1, 10_000_000, default=16_000, doc="steps of the optimiser"),
            Integer("batch_size", 1, 65_536, default=64, doc="examples of a step"),
            Real("learning_rate", 1e-5, 0.1, default=5e-3, log=True, doc="highest learning rate"),
            Real("weight_decay", 0.0, 0.1, default=1e-4, doc="decay of the weights, per step"),
        )
    )

    _center: npt.NDArray[np.float64]
    _factor: npt.NDArray[np.float64]
    _weights: list[npt.NDArray[np.float32]]  # of each layer, shape (members, inputs + 1, outputs)

    def _fit(
        self,
        features: npt.NDArray[np.float32],
        targets: npt.NDArray[np.float64],
        progress: Progress,
    ) -> None:
        torch = require("torch", extra="proxy")
        device = _device(torch)
        self._center = features.mean(axis=0, dtype=np.float64)
        varies = (features != features[0]).any(axis=0)
        deviation = np.where(varies, features.std(axis=0, dtype=np.float64), 1.0)
        self._factor = np.where(varies, 1.0 / deviation, 0.0)
        inputs = torch.from_numpy(self._scaled(features).astype(np.float32)).to(device)
        outputs = torch.from_numpy(targets.astype(np.float32)).to(device)
        seeds = np.random.SeedSequence(self.seed).spawn(cast(int, self.config["members"]))
        done = [0] * len(seeds)  # updates of each member
        total = len(seeds) * cast(int, self.config["updates"])
        # Members side by side, with a thread each: their matrices are too small to share out.
        with _single_threaded(torch), ThreadPoolExecutor(cores()) as pool:
            waiting = members = [
                pool.submit(self._train, torch, inputs, outputs, seed, done, number)
                for number, seed in enumerate(seeds)
            ]
            while waiting:
                waiting = [member for member in waiting if not member.done()]
                wait(waiting, timeout=_REPORT_S)
                progress(sum(done), total)
        layers = zip(*(member.result() for member in members), strict=True)
        self._weights = [np.stack(layer) for layer in layers]

    def _train(
        self,
        torch: Any,
        inputs: Any,
        outputs: Any,
        seed: np.random.SeedSequence,
        done: list[int],
        number: int,
    ) -> list[npt.NDArray[np.float32]]:
        """Return the weights of a network, the biases of each layer in the last row.

        The updates are counted in `done[number]`.
        """
        generator = torch.Generator().manual_seed(int(seed.generate_state(1, np.uint64)[0] >> 1))
        layers = []
        for rows, columns in self._shapes(inputs.shape[1], outputs.shape[1]):
            # Uniform within the inverse root of the number of inputs, as torch.nn.Linear draws.
            weights = torch.rand((rows, columns), generator=generator) * 2.0 - 1.0
            layers.append((weights / (rows - 1) ** 0.5).to(inputs.device).requires_grad_())
        updates = cast(int, self.config["updates"])
        optimizer = torch.optim.AdamW(
            layers,
            lr=self.config["learning_rate"],
            weight_decay=self.config["weight_decay"],
            fused=True,
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.config["learning_rate"], total_steps=updates + 1
        )
        rows = len(inputs)
        size = min(cast(int, self.config["batch_size"]), rows)
        order, at = torch.randperm(rows, generator=generator).to(inputs.device), 0
        for update in range(updates):
            if at + size > rows:
                order, at = torch.randperm(rows, generator=generator).to(inputs.device), 0
            batch = order[at : at + size]
            at += size
            error = _forward(torch, layers, inputs[batch]) - outputs[batch]
            loss = (error * error).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(layers, _LONGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            done[number] = update + 1
        if not torch.isfinite(loss):
            raise ConfigError(
                f"the training of model {self.name!r} diverged: the loss is {loss.item()}. Lower "
                f"learning_rate, which is {self.config['learning_rate']}."
            )
        return [layer.detach().cpu().numpy() for layer in layers]

    def _scaled(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return features with mean 0 and deviation 1, and 0 for those that never varied."""
        return (features - self._center) * self._factor

    def _shapes(self, features: int, targets: int) -> list[tuple[int, int]]:
        """Return the shapes of the weights with the biases."""
        hidden = [cast(int, self.config["width"])] * cast(int, self.config["layers"])
        inputs = [features, *hidden]
        return [(i + 1, o) for i, o in zip(inputs, [*hidden, targets], strict=True)]

    def _predict(self, features: npt.NDArray[np.float32]) -> Prediction:
        torch = require("torch", extra="proxy")
        device = _device(torch)
        # With 64 bits the rounding, which depends on the number of rows and on the device, is so
        # small that it is gone when the result is rounded to 32.
        layers = [
            torch.tensor(layer, dtype=torch.float64, device=device) for layer in self._weights
        ]
        members, targets = len(self._weights[-1]), self._weights[-1].shape[2]
        opinions = np.empty((members, len(features), targets))
        with torch.no_grad():
            for start in range(0, len(features), _BLOCK):
                rows = slice(start, start + _BLOCK)
                block = torch.from_numpy(self._scaled(features[rows])).to(device)
                for member in range(members):
                    output = _forward(torch, [layer[member] for layer in layers], block)
                    opinions[member, rows] = output.to(torch.float32).cpu().numpy()
        return Prediction.of_members(opinions)

    def _tensors(self) -> dict[str, npt.NDArray[Any]]:
        layers = {f"layer_{number}": layer for number, layer in enumerate(self._weights)}
        return {"center": self._center, "factor": self._factor, **layers}

    def _restore(self, tensors: Tensors, targets: int) -> None:
        members = cast(int, self.config["members"])
        arrays = check_tensors(
            tensors,
            {
                "center": (np.float64, (self._features,)),
                "factor": (np.float64, (self._features,)),
                **{
                    f"layer_{number}": (np.float32, (members, *shape))
                    for number, shape in enumerate(self._shapes(self._features, targets))
                },
            },
        )
        self._center, self._factor, *self._weights = arrays.values()


def _forward(torch: Any, layers: Sequence[Any], inputs: Any) -> Any:
    """Return what a network makes of inputs of shape (m, f)."""
    signal = inputs
    for number, layer in enumerate(layers):
        if number:
            signal = torch.nn.functional.silu(signal)
        signal = torch.addmm(layer[-1], signal, layer[:-1])
    return signal


def _device(torch: Any) -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def _single_threaded(torch: Any) -> Iterator[None]:
    """Let torch use one thread for each operation, so that sums do not depend on their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
