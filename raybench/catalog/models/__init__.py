"""The models that raybench can train: a name, what images it takes, and how it is built.

To add a model, either name a callable of your own (``package.module:callable``), or add a row to
``MODELS`` here, and one to ``model_flops.csv``, from which plans estimate. Building imports torch;
everything else on this page does not.
"""

from __future__ import annotations

import csv
import functools
import importlib
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybench.errors import SpecError, nearest

if TYPE_CHECKING:
    from torch import nn

FLOPS_TABLE = Path(__file__).with_name("model_flops.csv")


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """What has to be known of a model before it is built.

    Attributes:
        min_image_size: the smallest height and width in pixels that it can be trained on.
        image_size_multiple: the image size has to be a multiple of this.
        size_argument: the builder's argument that takes the image size, if it has to be told.
        aux_loss_weight: the weight of its auxiliary heads' losses, or None if it has no heads.
        title: what tables call it.
        custom: it is the user's own, of which nothing is known.
    """

    min_image_size: int = 1
    image_size_multiple: int = 1
    size_argument: str | None = None
    aux_loss_weight: float | None = None
    title: str | None = None
    custom: bool = False

    def smallest_above(self, image_size: int) -> int:
        """Return the smallest image size not below ``image_size`` that the model can take."""
        multiple = self.image_size_multiple
        wanted = max(self.min_image_size, image_size)
        return -(-wanted // multiple) * multiple


_ANY = ModelRow()
_VIT_14 = ModelRow(min_image_size=14, image_size_multiple=14, size_argument="image_size")
_VIT_16 = ModelRow(min_image_size=16, image_size_multiple=16, size_argument="image_size")
_VIT_32 = ModelRow(min_image_size=32, image_size_multiple=32, size_argument="image_size")
_SIZE_29 = ModelRow(min_image_size=29)
_SIZE_32 = ModelRow(min_image_size=32)
_SWIN = ModelRow(min_image_size=4)

# The auxiliary heads' weights are those of the papers as torchvision's training reference uses
# them: 0.3 for GoogLeNet (Szegedy et al., 2014), 0.4 for Inception v3 (Szegedy et al., 2015).
MODELS: dict[str, ModelRow] = {
    "googlenet": ModelRow(min_image_size=15, aux_loss_weight=0.3, title="GoogLeNet"),
    "resnet18": ModelRow(title="ResNet-18"),
    "alexnet": ModelRow(min_image_size=63),
    **dict.fromkeys(
        ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large"), _SIZE_32
    ),
    **dict.fromkeys(("densenet121", "densenet161", "densenet169", "densenet201"), _SIZE_29),
    **dict.fromkeys((f"efficientnet_b{i}" for i in range(8)), _ANY),
    **dict.fromkeys((f"efficientnet_v2_{size}" for size in "sml"), _ANY),
    "inception_v3": ModelRow(min_image_size=299, aux_loss_weight=0.4),
    "maxvit_t": ModelRow(min_image_size=224, image_size_multiple=224, size_argument="input_size"),
    **dict.fromkeys(("mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"), _ANY),
    **dict.fromkeys(("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"), _ANY),
    **dict.fromkeys(
        (
            f"regnet_{kind}_{size}"
            for kind in "xy"
            for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")
        ),
        _ANY,
    ),
    "regnet_y_128gf": _ANY,
    **dict.fromkeys(("resnet34", "resnet50", "resnet101", "resnet152"), _ANY),
    **dict.fromkeys(("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"), _ANY),
    **dict.fromkeys((f"shufflenet_v2_x{size}" for size in ("0_5", "1_0", "1_5", "2_0")), _ANY),
    "squeezenet1_0": ModelRow(min_image_size=21),
    "squeezenet1_1": ModelRow(min_image_size=17),
    **dict.fromkeys(("swin_t", "swin_s", "swin_b", "swin_v2_t", "swin_v2_s", "swin_v2_b"), _SWIN),
    **dict.fromkeys(
        (f"vgg{depth}{bn}" for depth in (11, 13, 16, 19) for bn in ("", "_bn")), _SIZE_32
    ),
    "vit_b_16": _VIT_16,
    "vit_l_16": _VIT_16,
    "vit_b_32": _VIT_32,
    "vit_l_32": _VIT_32,
    "vit_h_14": _VIT_14,
    **dict.fromkeys(("wide_resnet50_2", "wide_resnet101_2"), _ANY),
}

_CUSTOM = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def canonical_model(name: str) -> str:
    """Return the model's name as the table spells it, or the user's own ``module:callable``.

    Raises:
        SpecError: no such model is known.
    """
    if ":" in name:
        if _CUSTOM.fullmatch(name):
            return name
        raise SpecError(
            f"model {name!r} is not the name of a callable",
            allowed="package.module:callable, such as my_models.small:build",
        )
    if name.casefold() in MODELS:
        return name.casefold()
    raise SpecError(
        f"unknown model {name!r}. {nearest(name, MODELS)}".rstrip(),
        allowed=f"{', '.join(MODELS)}, or package.module:callable",
    )


def model_row(name: str) -> ModelRow:
    """Return the row of a model by its canonical name."""
    return MODELS.get(name) or ModelRow(custom=True)


def model_title(name: str) -> str:
    """Return what tables call a model."""
    row = MODELS.get(name)
    return (row and row.title) or name


@functools.cache
def _flops_table() -> dict[str, tuple[int, float]]:
    """Return image size and training FLOPs of an image for each model of torchvision."""
    with FLOPS_TABLE.open(newline="", encoding="utf-8") as file:
        return {
            row["model"]: (int(row["image_size"]), float(row["training_gflops"]) * 1e9)
            for row in csv.DictReader(file)
        }


def training_flops(name: str, image_size: int) -> float | None:
    """Return the FLOPs of a training step for one image, about; None for a model of one's own.

    For plans: what a trial really needs is counted in the trial, and stands in its record. They
    are torch's own counts for images of the table's size (a multiplication and an addition are
    two), and grow with the number of pixels, as those of convolutions do.
    """
    if name not in _flops_table():
        return None
    size, flops = _flops_table()[name]
    return flops * (image_size / size) ** 2


def build_model(name: str, *, num_classes: int, image_size: int) -> nn.Module:
    """Build a model with fresh weights, drawn from torch's global random generator.

    Args:
        name: a name of ``MODELS``, or ``package.module:callable``; the callable is given
            ``num_classes`` and returns a module from images [N, 3, S, S] to logits
            [N, num_classes], in training optionally a tuple of logits and its auxiliary heads'.
        num_classes: classes of the dataset.
        image_size: height and width of the images in pixels.

    Raises:
        SpecError: the user's callable cannot be imported or returns no module.
    """
    if name not in MODELS:
        return _build_custom(name, num_classes)
    import torchvision  # noqa: PLC0415 - specs are checked without torch

    row = MODELS[name]
    options: dict[str, Any] = {"weights": None, "num_classes": num_classes}
    if row.size_argument == "image_size":
        options["image_size"] = image_size
    elif row.size_argument == "input_size":
        options["input_size"] = (image_size, image_size)
    with warnings.catch_warnings():
        # torchvision announces a change of GoogLeNet's and Inception's initial weights; the
        # weights of today are those that published results were made with.
        warnings.simplefilter("ignore", FutureWarning)
        model: nn.Module = torchvision.models.get_model(name, **options)
    return model


def _build_custom(name: str, num_classes: int) -> nn.Module:
    from torch import nn  # noqa: PLC0415 - specs are checked without torch

    module_name, _, attribute = name.partition(":")
    try:
        builder = getattr(importlib.import_module(module_name), attribute)
    except ImportError as error:
        raise SpecError(
            f"model {name}: cannot import {module_name}: {error}",
            hint="put the module's folder on PYTHONPATH, on every node",
        ) from None
    except AttributeError:
        raise SpecError(f"model {name}: {module_name} has no {attribute!r}") from None
    model = builder(num_classes=num_classes)
    if not isinstance(model, nn.Module):
        raise SpecError(
            f"model {name}: the callable returned {type(model).__name__}",
            allowed="a torch.nn.Module",
        )
    return model
