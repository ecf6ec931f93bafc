"""Batch normalisation over whole batches, be they of one row or shared out among processes."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from ..numerics.precision import widened

__all__ = ["BatchNorm", "BatchNorm1d", "BatchNorm2d", "MomentsOfBatch"]

MomentsOfBatch = Callable[[Tensor], tuple[Tensor, Tensor, int]]
"""Values (b, c, ...) of a share -> mean and variance (c,) over its batch, and over how many values they are."""


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation that takes a single value, which has no variance, with the running moments.

    Attributes
    ----------
    moments : MomentsOfBatch or None
        Where other processes have the other rows of the batch: what knows the moments of all.
    """

    moments: MomentsOfBatch | None = None
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (b, c, ...) normalised, in training by the moments of its batch."""
        if self.training and self.moments is not None:
            return self._by(x, *self.moments(widened(x)))
        if not self.training or x.numel() > x.shape[1]:
            return super().forward(x)
        return self._by_running_moments(x)

    def _by(self, x: Tensor, mean: Tensor, variance: Tensor, count: int) -> Tensor:
        """Do what torch does in training, whose own function passes no gradient on to moments that are given."""
        if count == 1:
            return self._by_running_moments(x)
        self._follow_(mean.detach(), variance.detach() * (count / (count - 1)))
        scale = self.weight * (variance + self.eps).rsqrt()
        scale, shift = (v.view(-1, *[1] * (x.ndim - 2)) for v in (scale, self.bias - mean * scale))
        return (x * scale + shift).to(x.dtype)

    def _follow_(self, mean: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)

    def _by_running_moments(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class BatchNorm1d(BatchNorm, nn.BatchNorm1d):
    """Of rows (b, k)."""


class BatchNorm2d(BatchNorm, nn.BatchNorm2d):
    """Of images (b, c, h, w)."""
