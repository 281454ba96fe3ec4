"""Options that several commands share, those generated from the spec included."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import typer
import yaml

from raybench.catalog.datasets import DATASETS
from raybench.catalog.models import MODELS
from raybench.spec.fields import choices
from raybench.spec.grid import parse_settings
from raybench.spec.trial import TrialSpec

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Set a field of the spec."),
]
Results = Annotated[
    Path | None,
    typer.Option(help="Folder of the results.", envvar="RAYBENCH_RESULTS", show_default="results"),
]
Data = Annotated[Path | None, typer.Option(help="Folder of the datasets.", envvar="RAYBENCH_DATA")]


def _one_of(values: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what a shell asks for the values of an option."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete


Model = Annotated[
    str,
    typer.Argument(
        help="googlenet, resnet18, … or package.module:callable",
        metavar="MODEL",
        autocompletion=_one_of(MODELS),
    ),
]
Dataset = Annotated[
    str,
    typer.Argument(
        help="A name of `raybench data list`, such as mnist",
        metavar="DATASET",
        autocompletion=_one_of(DATASETS),
    ),
]
Grid = Annotated[Path, typer.Argument(help="The grid, a YAML file.", metavar="GRID")]
Address = Annotated[
    str | None,
    typer.Option(
        help="Address of a Ray cluster; without one, Ray is started on this machine.",
        envvar="RAY_ADDRESS",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]

Measured = Annotated[
    list[Path],
    typer.Argument(help="Folders of experiments, folders that hold some, or single records."),
]
Baseline = Annotated[
    str | None, typer.Option(help="Hardware that speedups are over; default: the slowest.")
]
AllowMismatch = Annotated[
    list[str] | None,
    typer.Option(help="Field that may differ between what is compared. May be repeated."),
]

PANELS = {
    "Workload": ("hardware", "epochs", "batch_size", "image_size", "train_limit", "eval_limit"),
    "Training": ("optimizer", "learning_rate", "momentum", "aux_loss_weight", "seed", "repeat"),
    "Execution": (
        "precision",
        "memory_format",
        "execution",
        "fused_optimizer",
        "cudnn_benchmark",
        "deterministic",
        "input_pipeline",
        "num_workers",
    ),
    "Measurement": ("warmup_steps", "isolation", "verify_hardware"),
}
"""The panels of the help that the spec's options stand in; one without a panel is of training."""

_Command = TypeVar("_Command", bound=Callable[..., None])


def with_spec_options(exclude: Collection[str]) -> Callable[[_Command], _Command]:
    """Give a command an option for each field of a trial's spec, and ``-s key=value``.

    The command has a parameter ``fields``; it receives those that were given, by name. A setting
    counts over an option.
    """

    def decorate(command: _Command) -> _Command:
        signature = inspect.signature(command, eval_str=True)
        own = [p for name, p in signature.parameters.items() if name != "fields"]
        kind = inspect.Parameter.KEYWORD_ONLY
        settings = inspect.Parameter("settings", kind, default=None, annotation=Settings)
        own.insert(sum(p.default is p.empty for p in own), settings)
        names = [name for name in TrialSpec.model_fields if name not in exclude]
        generated = [_option(name) for name in names]

        def call(**given: Any) -> None:
            fields = {n: value for n in names if (value := given.pop(n)) is not None}
            fields.update(parse_settings(given.pop("settings") or ()))
            command(fields=fields, **given)

        parameters = [*own, *generated]
        call.__doc__ = command.__doc__
        call.__name__ = command.__name__
        call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in parameters}
        return call  # type: ignore[return-value]

    return decorate


def _option(name: str) -> inspect.Parameter:
    field = TrialSpec.model_fields[name]
    values = choices(name)
    # The types that it takes, beside none at all.
    kinds = [kind for kind in get_args(field.annotation) if kind is not type(None)]
    if get_origin(field.annotation) not in (Union, types.UnionType):
        kinds = [field.annotation]
    mixed = len(kinds) > 1
    kind = str if values or mixed else kinds[0]
    help_text = (field.description or "").replace("\n", " ")
    if field.default is not None and not field.is_required():
        help_text += f" [default: {field.default}]"
    # A real list in brackets would be read as markup by the help's renderer.
    option = typer.Option(
        help=help_text.replace("[", r"\["),
        metavar="|".join(values) or ("NUMBER|WORD" if mixed else None),
        parser=yaml.safe_load if mixed else None,
        autocompletion=_one_of(values) if values and not mixed else None,
        show_default=False,
        rich_help_panel=next((p for p, names in PANELS.items() if name in names), "Training"),
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )
