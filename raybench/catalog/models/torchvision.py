"""Torchvision's classification models, each with what has to be known before it is built.

FLOPs are in ``model_flops.csv`` beside this file: torch's own counts for images of the table's
size. A model without a title bears its name in tables.
"""

from __future__ import annotations

import csv
import functools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybench.catalog.models.base import Model

if TYPE_CHECKING:
    from torch import nn

FLOPS_TABLE = Path(__file__).with_name("model_flops.csv")


def _build(name: str, size_argument: str | None, *, num_classes: int, image_size: int) -> nn.Module:
    import torchvision  # noqa: PLC0415 - specs are checked without torch

    sizes = {"image_size": image_size, "input_size": (image_size, image_size)}
    options: dict[str, Any] = {size_argument: sizes[size_argument]} if size_argument else {}
    with warnings.catch_warnings():
        # torchvision announces a change of GoogLeNet's and Inception's initial weights; the
        # weights of today are those that published results were made with.
        warnings.simplefilter("ignore", FutureWarning)
        model: nn.Module = torchvision.models.get_model(
            name, weights=None, num_classes=num_classes, **options
        )
    return model


with FLOPS_TABLE.open(newline="", encoding="utf-8") as file:
    _GFLOPS = {
        row["model"]: (int(row["image_size"]), float(row["training_gflops"]))
        for row in csv.DictReader(file)
    }


def _models(*names: str, size_argument: str | None = None, **facts: Any) -> list[Model]:
    return [
        Model(
            name=name,
            build=functools.partial(_build, name, size_argument),
            gflops=_GFLOPS[name],
            **{"title": name, **facts},
        )
        for name in names
    ]


def _patches(size: int) -> dict[str, Any]:
    return {"min_image_size": size, "image_size_multiple": size, "size_argument": "image_size"}


# The auxiliary heads' weights are those of the papers as torchvision's training reference uses
# them: 0.3 for GoogLeNet (Szegedy et al., 2014), 0.4 for Inception v3 (Szegedy et al., 2015).
MODELS = [
    *_models("googlenet", title="GoogLeNet", min_image_size=15, aux_loss_weight=0.3),
    *_models("resnet18", title="ResNet-18"),
    *_models("alexnet", min_image_size=63),
    *_models(
        *("convnext_tiny", "convnext_small", "convnext_base", "convnext_large"), min_image_size=32
    ),
    *_models("densenet121", "densenet161", "densenet169", "densenet201", min_image_size=29),
    *_models(*(f"efficientnet_b{i}" for i in range(8))),
    *_models(*(f"efficientnet_v2_{size}" for size in "sml")),
    *_models("inception_v3", min_image_size=299, aux_loss_weight=0.4),
    *_models("maxvit_t", min_image_size=224, image_size_multiple=224, size_argument="input_size"),
    *_models("mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"),
    *_models("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"),
    *_models(
        *(
            f"regnet_{kind}_{size}"
            for kind in "xy"
            for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")
        ),
        "regnet_y_128gf",
    ),
    *_models("resnet34", "resnet50", "resnet101", "resnet152"),
    *_models("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
    *_models(*(f"shufflenet_v2_x{size}" for size in ("0_5", "1_0", "1_5", "2_0"))),
    *_models("squeezenet1_0", min_image_size=21),
    *_models("squeezenet1_1", min_image_size=17),
    *_models(
        *("swin_t", "swin_s", "swin_b", "swin_v2_t", "swin_v2_s", "swin_v2_b"), min_image_size=4
    ),
    *_models(
        *(f"vgg{depth}{bn}" for depth in (11, 13, 16, 19) for bn in ("", "_bn")), min_image_size=32
    ),
    *_models("vit_b_16", "vit_l_16", **_patches(16)),
    *_models("vit_b_32", "vit_l_32", **_patches(32)),
    *_models("vit_h_14", **_patches(14)),
    *_models("wide_resnet50_2", "wide_resnet101_2"),
]
