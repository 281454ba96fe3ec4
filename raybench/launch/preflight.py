"""What is refused before anything is started: a trial that cannot run costs no cluster's hours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from raybench.catalog.datasets import DATASETS
from raybench.catalog.models import MODELS
from raybench.errors import HardwareError
from raybench.launch.session import machine_resources
from raybench.record.files import check_writable
from raybench.record.store import Experiment
from raybench.schedule.resources import check_placeable
from raybench.settings import Workspace
from raybench.spec.trial import TrialSpec
from raybench.system.cpus import allowed_cpus
from raybench.system.verify import gpu_names, is_simulated


def check_trial(spec: TrialSpec, experiment: Experiment, workspace: Workspace) -> None:
    """Refuse a trial that cannot run on this machine.

    Raises:
        ResultsError: the results cannot be written.
        HardwareError: this machine plainly lacks the hardware.
        SpecError: the model cannot be imported.
        DataError: the dataset cannot be imported, or is absent.
    """
    check_writable(experiment.folder)
    check_hardware(spec)
    check_imports([spec])
    check_data([spec], workspace)


def check_grid(
    due: Sequence[TrialSpec], experiment: Experiment, workspace: Workspace, address: str | None
) -> None:
    """Refuse trials of a grid that can never run, before Ray is started or joined.

    Raises:
        ResultsError: the results cannot be written.
        SpecError: a model cannot be imported.
        DataError: a dataset cannot be imported, or is absent.
        ClusterError: without an address: this machine can never run a trial.
    """
    check_writable(experiment.folder)
    check_imports(due)
    check_data(due, workspace)
    if due and not address:
        check_placeable(due, [machine_resources()], "this machine")


def check_hardware(spec: TrialSpec) -> None:
    """Refuse hardware that this machine plainly lacks.

    Raises:
        HardwareError: with what there is.
    """
    threads, cpus = spec.cpu_threads, allowed_cpus()
    labels = "cpu:1" if cpus == 1 else f"cpu:1 to cpu:{cpus}"
    if threads is None and not gpu_names() and not is_simulated(spec.hardware):
        raise HardwareError(
            f"hardware is {spec.hardware}, but this machine has no NVIDIA GPU that its driver "
            "or CUDA_VISIBLE_DEVICES shows",
            allowed=labels,
            hint="run it where the GPU is, or place it with `raybench submit`",
        )
    if threads is not None and threads > cpus:
        processors = "1 processor" if cpus == 1 else f"{cpus} processors"
        raise HardwareError(
            f"hardware is {spec.hardware}, but this process may use {processors}", allowed=labels
        )


def check_imports(trials: Iterable[TrialSpec]) -> None:
    """Import what the trials' models and datasets are made by, so that what fails fails now.

    Raises:
        SpecError: something cannot be imported; the message has the file and the line.
    """
    for name in dict.fromkeys(trial.model for trial in trials):
        MODELS[name].builder()


def check_data(trials: Iterable[TrialSpec], workspace: Workspace) -> None:
    """Refuse trials whose datasets are absent.

    Raises:
        DataError: with the command that brings the dataset.
    """
    for name in dict.fromkeys(trial.dataset for trial in trials):
        DATASETS[name].source.state(name, workspace.data)
