"""The feature pyramid for a GPU: batch norms folded, and one pass over memory behind each convolution."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from msflow_stream.model.fused.gpu.rewriting import merge_tails
from msflow_stream.model.fused.gpu.tails import ReflectedConvolution
from msflow_stream.model.fused.pyramid import FusedPyramid, fold_batch_norms
from msflow_stream.model.pyramid import Pyramid


class GpuPyramid(nn.Module):
    """The same function as `pyramid` with weights and features in `dtype`, channels-last.

    A backbone that cannot be traced keeps its batch norms, and has reflected margins by a kernel of their own.

    Args:
        pyramid: stays as it is; the copies of its weights are on the CPU until they are moved.
        dtype: of the weights and the features.
    """

    def __init__(self, pyramid: Pyramid | FusedPyramid, dtype: torch.dtype) -> None:
        super().__init__()
        self.channels, self.dtype = list(pyramid.channels), dtype
        self.pool, self.pool_kernel = pyramid.pool, pyramid.pool_kernel
        backbone = copy.deepcopy(pyramid.backbone).cpu().eval()
        if not isinstance(backbone, fx.GraphModule):
            backbone = fold_batch_norms(backbone, early=False)
        self.traced = isinstance(backbone, fx.GraphModule)
        if isinstance(backbone, fx.GraphModule):
            merge_tails(backbone, dtype)
        _reflect(backbone)
        self.backbone = _converted(backbone, dtype)
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns the pooled features (B C_l H_l W_l) of every scale for normalised images (B 3 H W)."""
        given = images if self.traced else images.to(self.dtype, memory_format=torch.channels_last)
        stages = self.backbone(given)
        return [self.pooled(features) for features in stages]  # type: ignore[misc]  # has what the method asks for

    pooled = Pyramid.pooled  # of `pool` and `pool_kernel`


def _reflect(model: nn.Module) -> None:
    """Gives the convolutions that are still to reflect what surrounds their input a kernel for it."""
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Conv2d) and module.padding_mode == "reflect" and not isinstance(module.padding, str):
            model.set_submodule(name, ReflectedConvolution(module))


def _converted(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Converts weights; constants of tails stay float32, and so do batch norms, whose statistics need it."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            continue
        for name, value in module.named_parameters(recurse=False):
            form = torch.channels_last if value.ndim == 4 else torch.preserve_format
            setattr(module, name, nn.Parameter(value.detach().to(dtype, memory_format=form), requires_grad=False))
    return model
