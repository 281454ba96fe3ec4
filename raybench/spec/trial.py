"""What to measure: one trial."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError, ValidationInfo, model_validator

from raybench.catalog.datasets import DATASETS
from raybench.catalog.hardware import GPUS, canonical_label, cpu_threads
from raybench.catalog.models import MODELS
from raybench.errors import SpecError, unknown
from raybench.spec import identity
from raybench.spec.fields import BatchSize, ResolvedExecution, TrialFields
from raybench.spec.rules import RULES

DEFAULT_GPU_WORKERS = 2

AS_MEASURED = {"spec": "as measured"}
"""Context of a validation that takes a spec as it was written: complete, and possible there."""


class TrialSpec(TrialFields):
    """One trial: a model trained and evaluated on a dataset, on one kind of hardware.

    Raises:
        SpecError: the combination cannot work.
    """

    @model_validator(mode="before")
    @classmethod
    def _canonical(cls, data: Any, info: ValidationInfo) -> Any:
        """Fill in what follows from other fields, so that equal measurements are equal specs."""
        if not isinstance(data, Mapping) or info.context == AS_MEASURED:
            return data
        fields = dict(data)
        _refuse_truth_values(fields)
        for name, canonical in (
            ("model", MODELS.canonical),
            ("dataset", DATASETS.canonical),
            ("hardware", canonical_label),
        ):
            if isinstance(fields.get(name), str):
                fields[name] = canonical(fields[name])
        model, hardware = fields.get("model"), fields.get("hardware")
        if isinstance(model, str) and fields.get("aux_loss_weight") is None:
            fields["aux_loss_weight"] = MODELS[model].aux_loss_weight
        if isinstance(hardware, str) and fields.get("num_workers") is None:
            on_gpu_loader = hardware in GPUS and fields.get("input_pipeline") != "device"
            fields["num_workers"] = DEFAULT_GPU_WORKERS if on_gpu_loader else 0
        return fields

    @model_validator(mode="after")
    def _possible(self, info: ValidationInfo) -> TrialSpec:
        for rule in RULES if info.context != AS_MEASURED else ():
            rule(self)
        return self

    @property
    def is_resolved(self) -> bool:
        """Whether the spec leaves nothing to autotuning."""
        return self.execution != "best" and self.batch_size != "largest"

    def resolved(self, settings: BaseModel | None = None) -> ResolvedSpec:
        """Return the spec with nothing left open.

        Args:
            settings: what autotuning chose, by the names of the spec's fields; None where the
                spec names it all.

        Raises:
            SpecError: they cannot work with the rest of the spec, or something is left open.
        """
        chosen = settings.model_dump() if settings is not None else {}
        return _build(ResolvedSpec, {**self.model_dump(), **chosen})

    @functools.cached_property
    def trial_id(self) -> str:
        """A readable name and a hash of every field: the same spec is the same id."""
        return identity.trial_id(self)

    @functools.cached_property
    def configuration_id(self) -> str:
        """A hash of what makes two trials repeats of the same measurement."""
        return identity.configuration_id(self)

    @property
    def cpu_threads(self) -> int | None:
        """N for ``cpu:N``, None on a GPU."""
        return cpu_threads(self.hardware)

    @property
    def title(self) -> str:
        """``resnet18 · mnist · P100``, with the repeat where it is not the first."""
        repeat = f" · repeat {self.repeat}" if self.repeat else ""
        return f"{self.model} · {self.dataset} · {self.hardware}{repeat}"


class ResolvedSpec(TrialSpec):
    """A trial of which nothing is left open: what is executed."""

    execution: ResolvedExecution = "eager"
    """eager, compile or cudagraph"""
    batch_size: BatchSize = 10
    """images a step"""
    num_workers: int
    """worker processes of the dataloader"""


_Spec = TypeVar("_Spec", bound=TrialSpec)


def trial_spec(fields: Mapping[str, Any]) -> TrialSpec:
    """Build a TrialSpec, with every problem said in the words of its fields.

    Raises:
        SpecError: a field is unknown, has a wrong value, or the combination cannot work.
    """
    known_keys(fields, TrialSpec.model_fields, "a trial")
    return _build(TrialSpec, fields)


def _build(kind: type[_Spec], fields: Mapping[str, Any]) -> _Spec:
    try:
        return kind(**fields)
    except ValidationError as error:
        raise spec_error(error) from None


def _refuse_truth_values(fields: Mapping[str, Any]) -> None:
    """Refuse ``batch_size: true``, which Python would take for 1."""
    for name, value in fields.items():
        field = TrialFields.model_fields.get(name) if isinstance(value, bool) else None
        if field is not None and field.annotation is not bool:
            raise SpecError(
                f"{name} is {str(value).lower()}, which is neither a number nor a name",
                allowed=f"{name}: {field.description}",
            )


def known_keys(given: Iterable[str], known: Iterable[str], where: str) -> None:
    """Refuse a key that is none of those known.

    Raises:
        SpecError: naming the nearest that is known, and all of them.
    """
    known = list(known)
    for key in given:
        if key not in known:
            raise unknown(f"{where} has no field", str(key), known)


def spec_error(error: ValidationError) -> SpecError:
    """Say in the words of a spec's fields what pydantic found wrong."""
    found: dict[str, list[str]] = {}
    for problem in error.errors():
        # What follows the field's name is the kind that was tried, of several that it takes.
        where = str(problem["loc"][0]) if problem["loc"] else "the spec"
        message = problem["msg"].replace("Input should be", "it should be")
        found.setdefault(f"{where} is {problem['input']!r}: ", []).append(message)
    lines = [start + ", or ".join(messages) for start, messages in found.items()]
    return SpecError("\n".join(lines), hint="see `raybench run --help` for every field")
