"""Floating-point operations of torch's operations: a multiplication and an addition are two.

Convolutions and matrix products are counted here, because torch 2.0 has no counter
(``torch.utils.flop_counter`` came with 2.1), and later ones count the weights' gradient of a
convolution in G groups G times: 12.3 GFLOPs a training step of MobileNetV2 instead of 1.8. A
figure that is to compare GPUs has to be the same in every torch. For all else, which in
torchvision's models is attention, torch's own formulas hold where there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Formula = Callable[..., int]
"""Takes an operation's arguments, and its result as ``out_val``; returns its operations."""


def formulas() -> dict[Any, Formula]:
    """Return each counted operation (a ``torch.ops.aten`` packet) with its formula."""
    aten = torch.ops.aten
    return {
        **_torchs_own(),
        aten.convolution: _convolution,
        aten.convolution_backward: _convolution_backward,
        aten.mm: _product,
        aten.bmm: _product,
        aten.addmm: _added_product,
        aten.baddbmm: _added_product,
    }


def _torchs_own() -> dict[Any, Formula]:
    try:
        from torch.utils.flop_counter import flop_registry  # noqa: PLC0415 - absent in torch 2.0
    except ImportError:
        return {}
    return dict(flop_registry)


def _product(a: Tensor, b: Tensor, **_: Any) -> int:
    """[…, M, K] by […, K, N]: each element of ``a`` meets the N columns of ``b``."""
    return 2 * a.numel() * b.shape[-1]


def _added_product(_term: Tensor, a: Tensor, b: Tensor, **_: Any) -> int:
    return _product(a, b)


def _convolution(
    images: Tensor,
    weight: Tensor,
    _bias: Tensor | None,
    _stride: Sequence[int],
    _padding: Sequence[int],
    _dilation: Sequence[int],
    transposed: bool,
    *_rest: Any,
    out_val: Tensor,
) -> int:
    return _meetings(images, weight, out_val, transposed)


def _convolution_backward(
    gradient: Tensor,
    images: Tensor,
    weight: Tensor,
    _bias_sizes: Sequence[int] | None,
    _stride: Sequence[int],
    _padding: Sequence[int],
    _dilation: Sequence[int],
    transposed: bool,
    *rest: Any,
    **_: Any,
) -> int:
    """Each pair that met on the way forward meets again for each gradient that is wanted."""
    wanted: int = sum(rest[-1][:2])  # the images', the weight's; the bias's costs nothing
    return wanted * _meetings(images, weight, gradient, transposed)


def _meetings(images: Tensor, weight: Tensor, out: Tensor, transposed: bool) -> int:
    """Return 2 × the pairs of a pixel and a weight that are multiplied; the bias is left out.

    Each output pixel is the sum over one kernel, weight[0]; in a transposed convolution, each
    input pixel is spread by one. Padding counts as if it were pixels.
    """
    pixels = images if transposed else out
    return 2 * pixels.numel() * weight[0].numel()
