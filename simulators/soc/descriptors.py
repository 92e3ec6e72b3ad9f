"""Numbers that describe jobs and workloads to a model that predicts metrics of an SoC.

>>> from archgym_py.simulators.soc.arvr_workloads import load_workload
>>> audio = describe_workload(load_workload("audio_decoder"))
>>> edges = describe_workload(load_workload("edge_detection"))
>>> audio["log_tasks"] > edges["log_tasks"]
True
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from archgym_py.simulators.soc.arvr_workloads import Workload
from archgym_py.simulators.soc.design_space import KINDS
from archgym_py.simulators.soc.graphs import TaskGraph
from archgym_py.simulators.soc.state import Jobs

__all__ = ["describe_jobs", "describe_workload", "jobs_digest"]

_Floats = npt.NDArray[np.float64]


def jobs_digest(runs: Sequence[Jobs]) -> str:
    """Return the SHA-256 of which jobs come in some runs, and when, in hexadecimal digits.

    Args:
        runs: The jobs of each run, with execution times that do not vary.
    """
    content = hashlib.sha256()
    for run in runs:
        content.update(len(run.graphs).to_bytes(8, "little"))
        content.update(run.graphs.astype("<i8").tobytes())
        content.update(run.waits_us.astype("<f8").tobytes())
    return content.hexdigest()


def describe_jobs(
    runs: Sequence[Jobs],
    graphs: Sequence[TaskGraph],
    *,
    work_us: _Floats,
    critical_us: _Floats,
) -> dict[str, float]:
    """Return what streams of jobs ask of an SoC.

    Amounts are means over all jobs of all runs, as logarithms of one and the amount, in us where
    they are times.

    Args:
        runs: The jobs of each run.
        graphs: The applications.
        work_us: Time of each task of all graphs, one after another, on each kind of PE at its
            highest frequency, shape (tasks, kinds), infinite where it cannot run.
        critical_us: Time of each graph at least, shape (graphs,).

    Returns:
        For a job its tasks, edges and volume, its critical path and its work, each task on its
        fastest PE; the logarithm of work over critical path; for each kind of PE the work that it
        can do, and its share of the work of the slowest PEs; the wait between jobs with its
        coefficient of variation; the logarithm of work over wait, both plus 1 us, which is how many
        PEs are busy; the entropy of the applications in nats; and the logarithms of the numbers of
        jobs of a run and of runs.
    """
    counts = np.bincount(np.concatenate([run.graphs for run in runs]), minlength=len(graphs))
    shares = counts / counts.sum()
    first = np.cumsum([0, *(len(graph.tasks) for graph in graphs)])[:-1]

    def of_job(of_task: _Floats) -> float:
        return float(np.add.reduceat(of_task, first) @ shares)

    can = np.isfinite(work_us)
    of_kind = np.where(can, work_us, 0.0)
    slowest_us = of_kind.max(axis=1)
    fastest, slowest = of_job(work_us.min(axis=1)), of_job(slowest_us)
    critical = float(critical_us @ shares)
    volumes = [math.fsum(edge.volume for edge in graph.edges) for graph in graphs]
    waits_us = np.concatenate([run.waits_us[: len(run.graphs) - 1] for run in runs])
    wait = float(waits_us.mean()) if len(waits_us) else 0.0
    likely = shares[shares > 0.0]
    described = {
        "log_tasks": math.log1p(np.array([len(graph.tasks) for graph in graphs]) @ shares),
        "log_edges": math.log1p(np.array([len(graph.edges) for graph in graphs]) @ shares),
        "log_volume": math.log1p(np.array(volumes) @ shares),
        "log_critical_us": math.log1p(critical),
        "log_work_us": math.log1p(fastest),
        "log_parallelism": math.log(fastest / critical) if critical > 0.0 else 0.0,
    }
    for number, kind in enumerate(KINDS):
        able_us = np.where(can[:, number], slowest_us, 0.0)
        described[f"log_{kind.label}_us"] = math.log1p(of_job(of_kind[:, number]))
        described[f"{kind.label}_share"] = of_job(able_us) / slowest if slowest > 0.0 else 0.0
    return described | {
        "log_wait_us": math.log1p(wait),
        "wait_variation": float(waits_us.std()) / wait if wait > 0.0 else 0.0,
        "log_load": math.log1p(fastest) - math.log1p(wait),
        "applications": float(-(likely * np.log(likely)).sum()),
        "log_jobs": math.log(len(runs[0].graphs)),
        "log_runs": math.log(len(runs)),
    }


def describe_workload(workload: Workload) -> dict[str, float]:
    """Return what a workload of augmented or virtual reality asks of an SoC.

    Figures of accelerators are means over the tasks that have one, weighted with their work; 0 if
    none has.

    Args:
        workload: The workload.

    Returns:
        Logarithms of the tasks, of one and the edges, of the work in instructions, of work over
        that of the heaviest path, of one and the bytes; the share of the work with accelerators;
        and for these the logarithms of how much faster than a core they are, of how far their loops
        unroll, of fJ for an instruction and of their area in um2.
    """
    work = workload.work
    total = math.fsum(work)
    path = [0.0] * len(work)
    for number in workload.topological:
        before = (path[workload.edges[edge].parent] for edge in workload.parents[number])
        path[number] = work[number] + max(before, default=0.0)
    accelerated = workload.with_accelerators
    share = math.fsum(task.work for task in accelerated) / total
    means = dict.fromkeys(("speedup", "unrolling", "energy_fj", "area_um2"), 0.0)
    for task in accelerated:
        figures = (
            task.a53_cycles / (task.ip_cycles or 1.0),
            task.loop_iterations or 1,
            (task.ip_energy or 1.0) / task.work,
            task.ip_area or 1.0,
        )
        for name, figure in zip(means, figures, strict=True):
            means[name] += task.work / (share * total) * math.log(figure)
    return {
        "log_tasks": math.log(len(work)),
        "log_edges": math.log1p(len(workload.edges)),
        "log_work": math.log(total),
        "log_parallelism": math.log(total / max(path)),
        "log_bytes": math.log1p(workload.bytes),
        "accelerated_share": share,
        **{f"log_{name}": mean for name, mean in means.items()},
    }
