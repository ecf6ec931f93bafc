"""Randomness: the only file that seeds.

One ``random_state`` becomes one `Streams`; each use of chance asks it for a generator **by name**. Streams of
different names are independent, adding a stream never changes another, and no global generator of Python, NumPy
or torch is read or written.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import ConfigError

__all__ = ["StackedStreams", "Streams", "fixed_generator", "restart_seed", "seed_of"]


def seed_of(random_state: int | np.random.RandomState | np.random.Generator | None) -> int:
    """Return the one integer from which everything else is derived.

    ``None`` takes fresh entropy from the operating system, not from a global generator.

    Raises
    ------
    ConfigError
        If it is none of these, or a negative number.
    """
    if random_state is None:
        return int(np.random.SeedSequence().entropy) % 2**63  # type: ignore[arg-type]
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**63 - 1))
    if isinstance(random_state, bool) or not isinstance(random_state, int | np.integer) or random_state < 0:
        raise ConfigError(
            f"random_state is {random_state!r}; expected a whole number >= 0, a generator of NumPy or None."
        )
    return int(random_state)


def restart_seed(seed: int, number: int) -> int:
    """Return the root seed of restart `number` of a fit whose root seed is `seed`.

    Restart 0 has the root seed itself, so that one restart is what a fit without restarts is. Restart r > 0 has the
    first 64-bit word, modulo 2**63, of NumPy's sequence over (seed mod 2**64, seed div 2**64, crc32("restart"), r).
    """
    if number == 0:
        return seed
    entropy = [seed % 2**64, seed // 2**64, zlib.crc32(b"restart"), number]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]) % 2**63


def fixed_generator() -> torch.Generator:
    """Return a generator that always starts alike, for estimates that must be functions of their input."""
    return torch.Generator(device="cpu").manual_seed(0)


class Streams:
    """Named, independent generators derived from one seed.

    Parameters
    ----------
    seed : int
        Non-negative root seed.
    device : torch.device or str
        Where the torch generators live.

    Attributes
    ----------
    share : (start, stop, total) or None
        Rows of a batch that is shared out among processes. Noise for as many rows as the share has is drawn for the
        whole batch, of which these are returned, so that the rows of a batch get the noise they get in one process.
        Rows lie along the last axis but one, or the only one: (b,), (b, f), or (M, b, f) with M draws for each row.

    Examples
    --------
    >>> a, b = Streams(0), Streams(0)
    >>> bool(torch.equal(torch.rand(2, generator=a.torch("noise")), torch.rand(2, generator=b.torch("noise"))))
    True
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.seed = seed
        self.device = torch.device(device)
        self.share: tuple[int, int, int] | None = None
        self._torch: dict[str, torch.Generator] = {}
        self._numpy: dict[str, np.random.Generator] = {}

    def _child(self, name: str) -> np.random.SeedSequence:
        return np.random.SeedSequence([self.seed % 2**64, self.seed // 2**64, zlib.crc32(name.encode())])

    def torch(self, name: str, device: torch.device | str | None = None) -> torch.Generator:
        """Return the torch generator called `name`; the same object every time."""
        if name not in self._torch:
            seed = int(self._child(name).generate_state(1, np.uint64)[0]) % 2**63
            self._torch[name] = torch.Generator(device=device or self.device).manual_seed(seed)
        return self._torch[name]

    def numpy(self, name: str) -> np.random.Generator:
        """Return the NumPy generator called `name`; the same object every time."""
        if name not in self._numpy:
            self._numpy[name] = np.random.default_rng(self._child(name))
        return self._numpy[name]

    def integer(self, name: str) -> int:
        """Return a fresh 31-bit integer from the stream `name`, for libraries that want a ``random_state``."""
        return int(self.numpy(name).integers(2**31 - 1))

    def normal_like(self, x: Tensor, name: str = "noise") -> Tensor:
        """Return standard normal noise of the shape, type and device of `x`."""
        shape, rows = self._shared(x.shape)
        return torch.randn(shape, generator=self.torch(name), dtype=x.dtype, device=x.device)[rows]

    def uniform_like(self, x: Tensor, name: str = "mask") -> Tensor:
        """Return uniform noise in [0, 1) of the shape, type and device of `x`."""
        shape, rows = self._shared(x.shape)
        return torch.rand(shape, generator=self.torch(name), dtype=x.dtype, device=x.device)[rows]

    def bytes_like(self, x: Tensor, name: str = "dropout") -> Tensor:
        """Return a random byte, a sixth of the cost of a float, for each number of the rows `x` (b, ...), as (b, k)."""
        (b, k), rows = self._shared(torch.Size((len(x), x.shape[1:].numel())))
        words = torch.empty(-(-b * k // 8), dtype=torch.int64, device=x.device)
        drawn = words.random_(-(2**63), None, generator=self.torch(name)).view(torch.uint8)
        return drawn[: b * k].view(b, k)[rows]

    def _shared(self, shape: torch.Size) -> tuple[Sequence[int], Any]:
        """Return the shape to draw and which part of it to return."""
        start, stop, total = self.share or (0, -1, 0)
        axis = max(len(shape) - 2, 0)
        if len(shape) == 0 or shape[axis] != stop - start:
            return shape, ...
        return (*shape[:axis], total, *shape[axis + 1 :]), (*[slice(None)] * axis, slice(start, stop))

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all generators as plain JSON values."""
        states = {k: g.get_state().numpy().tobytes() for k, g in self._torch.items()}
        return {
            "seed": str(self.seed),
            "torch": {k: base64.b64encode(zlib.compress(s)).decode() for k, s in states.items()},
            "devices": {k: g.device.type for k, g in self._torch.items()},
            "numpy": {k: _plain(g.bit_generator.state) for k, g in self._numpy.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put every generator back to where `state_dict` found it."""
        self.seed = int(state["seed"])
        for name, text in state["torch"].items():
            raw = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
            kind = state["devices"][name]  # a kind alone would be its first device
            device = self.device if kind == self.device.type else kind
            self.torch(name, device).set_state(torch.from_numpy(raw.copy()))
        for name, value in state["numpy"].items():
            self.numpy(name).bit_generator.state = _restored(value)


class StackedStreams(Streams):
    """The streams of several restarts as one: each slice of a draw comes from its own restart's generator.

    Parameters
    ----------
    members : sequence of Streams
        One for each restart. Those not in `active`, a list of numbers, are left alone by the draws.
    """

    def __init__(self, members: Sequence[Streams]) -> None:
        super().__init__(members[0].seed, members[0].device)
        self.members = list(members)
        self.active = list(range(len(self.members)))

    def torch(self, name: str, device: torch.device | str | None = None) -> torch.Generator:
        """Refuse: a stack draws by `normal_like` and `uniform_like` only."""
        raise NotImplementedError(f"stacked restarts have no one generator {name!r}; draw with normal_like.")

    def numpy(self, name: str) -> np.random.Generator:
        """Refuse, as `torch` does."""
        raise NotImplementedError(f"stacked restarts have no one generator {name!r}; draw with normal_like.")

    def normal_like(self, x: Tensor, name: str = "noise") -> Tensor:
        """Return standard normal noise of the shape (r, ...) of `x`, with the bits the active restarts draw alone."""
        noise = torch.empty_like(x, memory_format=torch.contiguous_format)
        for part, streams in self._parts(noise):
            part.normal_(generator=streams.torch(name))
        return noise

    def uniform_like(self, x: Tensor, name: str = "mask") -> Tensor:
        """Return uniform noise in [0, 1) of the shape (r, ...) of `x`, with the bits the active restarts draw alone."""
        noise = torch.empty_like(x, memory_format=torch.contiguous_format)
        for part, streams in self._parts(noise):
            part.uniform_(generator=streams.torch(name))
        return noise

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all members as plain JSON values."""
        return {"members": [streams.state_dict() for streams in self.members]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put every member back to where `state_dict` found it."""
        for streams, member in zip(self.members, state["members"], strict=True):
            streams.load_state_dict(member)

    def _parts(self, noise: Tensor) -> Iterator[tuple[Tensor, Streams]]:
        return zip(noise.unbind(), (self.members[r] for r in self.active), strict=True)


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    """PCG64's state holds 128-bit integers, which not every JSON reader keeps: write them as text."""
    return {k: _plain(v) if isinstance(v, Mapping) else str(v) for k, v in state.items()}


def _restored(state: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in state.items():
        if isinstance(value, Mapping):
            out[key] = _restored(value)
        else:
            out[key] = value if key == "bit_generator" else int(value)
    return out
