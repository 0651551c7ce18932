"""Build our backbone and its peers with equal weights, and check that they compute the same."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from convnext_dense.backbone import ARCHS, ConvNeXt
from convnext_dense.benchmark.peers import PEERS, reason_to_skip
from convnext_dense.benchmark.peers.meta import MetaConvNeXt
from convnext_dense.checkpoints.find_convnext import find_convnext

OURS = "ours"
# Relative to the size of the values, at a small input in float32.
TOLERANCE = 1e-4
SMALL = (2, 3, 64, 96)

Maps = tuple[Tensor, ...]


@dataclass(frozen=True)
class Network:
    """A backbone that can be measured.

    Attributes:
        name: ``ours``, or that of a peer.
        normed: Whether its outputs are normed; otherwise they are the raw stages.
        build: Builds a new network with the common weights.
        unpack: Converts the network's result to the maps.
        is_same: Whether it computes what ours does; otherwise it is another network of its size.
    """

    name: str
    normed: bool
    build: Callable[[], nn.Module]
    unpack: Callable[[Any], Maps]
    is_same: bool = True


def random_weights(arch: str) -> dict[str, Tensor]:
    """Return weights under which every parameter matters to every output, always the same.

    Args:
        arch: A name in :data:`convnext_dense.backbone.ARCHS`.

    Returns:
        The weights by our names, with output norms.
    """
    with torch.device("meta"):
        own = ConvNeXt(arch, out_indices=_stages_of(arch))
        shapes = {name: value.shape for name, value in own.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, shape in shapes.items():
        value = torch.randn(shape, generator=generator)
        if len(shape) > 1:
            weights[name] = value * shape[1:].numel() ** -0.5
        else:
            scales = name.endswith((".weight", ".gamma")) and ".grn." not in name
            weights[name] = 0.1 * value + scales
    return weights


def find_networks(
    arch: str, peers: Collection[str], drop_path: float = 0.0
) -> tuple[list[Network], dict[str, str]]:
    """Return our network and the peers that can be measured, with equal weights.

    Args:
        arch: A name in :data:`convnext_dense.backbone.ARCHS`.
        peers: Names in :data:`convnext_dense.benchmark.peers.PEERS`.
        drop_path: Stochastic depth of the last block.

    Returns:
        The networks, ours first, also with raw stages if a peer returns those; and why the other
        peers are skipped, by name.
    """
    weights = random_weights(arch)
    networks, skipped = [], {}
    for name in peers:
        reason = reason_to_skip(name, arch)
        if reason is None:
            try:
                PEERS[name].load(arch, weights, drop_path)
            except Exception as error:  # another library may raise anything
                reason = f"cannot be built: {in_one_line(error)}"
        if reason:
            skipped[name] = reason
            continue
        peer = PEERS[name]
        networks.append(
            Network(
                name,
                peer.normed,
                partial(peer.load, arch, weights, drop_path),
                peer.unpack,
                is_same=peer.layout is not None,
            )
        )

    def build_ours(normed: bool) -> ConvNeXt:
        network = ConvNeXt(
            arch, out_indices=_stages_of(arch), norm_out=normed, drop_path_rate=drop_path
        )
        network.load_state_dict({name: weights[name] for name in network.state_dict()})
        return network

    kinds = [True, False] if any(not n.normed for n in networks) else [True]
    ours = [Network(OURS, kind, partial(build_ours, kind), tuple) for kind in kinds]
    return ours + networks, skipped


class Reference:
    """The network of Meta's layout in float32, to which the others are compared."""

    def __init__(self, arch: str, device: torch.device) -> None:
        network = PEERS["meta"].load(arch, random_weights(arch))
        self.network = cast(MetaConvNeXt, network.to(device))

    def maps(self, image: Tensor) -> dict[bool, Maps]:
        """Return the maps of an image of float32: the normed by True, the raw by False."""
        with exact_float32():
            raw = self.network.raw_stages(image)
            return {False: raw, True: self.network.norm(raw)}


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute float32 in float32: cuDNN rounds it to TF32 by default."""
    with torch.backends.cudnn.flags(allow_tf32=False):
        yield


def check_equal(
    networks: list[Network], reference: Reference, device: torch.device, gradients: bool
) -> None:
    """Check that the networks compute the same function in float32, on a small random image.

    Args:
        networks: The networks to compare; those that are other networks are left out.
        reference: The network to compare them with.
        device: The device.
        gradients: Whether to compare the gradient of every parameter too.

    Raises:
        RuntimeError: If one differs; the message names it and what differs.
    """
    image = torch.randn(SMALL, generator=torch.Generator().manual_seed(1)).to(device)
    with torch.set_grad_enabled(gradients):
        wanted = reference.maps(image)
    for network in networks:
        if not network.is_same:
            continue
        module = network.build().to(device)
        # Drop path would make the outputs random: it acts in training mode alone.
        module.eval()
        with exact_float32(), torch.set_grad_enabled(gradients):
            got = network.unpack(module(image))
        _refuse(network, "outputs", relative_error(got, wanted[network.normed]))
        if gradients:
            reference.network.zero_grad()
            _backward(wanted[network.normed])
            _backward(got)
            want, own = _gradients(reference.network), _gradients(module)
            for name, value in own.items():
                _refuse(network, f"gradients of {name}", relative_error([value], [want[name]]))


def relative_error(got: Collection[Tensor], want: Collection[Tensor]) -> float:
    """Return the largest difference among all maps, in the norm of each and relative to it."""
    if [value.shape for value in got] != [value.shape for value in want]:
        return float("inf")
    return max(
        ((g.detach().float() - w).norm() / w.norm().clamp(min=1e-12)).item()
        for g, w in zip(got, (w.detach().float() for w in want), strict=True)
    )


def count_flops(arch: str, shape: tuple[int, int], batch: int, train: bool) -> int:
    """Count the operations of a pass, 2 for a multiply-add, in convolutions and linear layers.

    Args:
        arch: A name in :data:`convnext_dense.backbone.ARCHS`.
        shape: Height and width of the images.
        batch: Their number.
        train: Whether the backward pass counts too: as twice the forward pass.
    """
    with torch.device("meta"):
        return count_flops_of(MetaConvNeXt(ARCHS[arch]), shape, batch, train)


def count_flops_of(network: nn.Module, shape: tuple[int, int], batch: int, train: bool) -> int:
    """Count the operations of a network's pass as :func:`count_flops` does, and in attention."""
    image = torch.empty(batch, 3, *shape)
    # FlopCounterMode ignores groups in the backward pass of a convolution.
    # It knows no fused attention of the CPU, but the products that attention is made of.
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        network(image)
    return counter.get_total_flops() * (3 if train else 1)


def _stages_of(arch: str) -> tuple[int, ...]:
    return tuple(range(len(ARCHS[arch].depths)))


def in_one_line(error: Exception) -> str:
    """Return the kind of an error and the first line of its message."""
    first_line = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first_line}"


def _backward(maps: Maps) -> None:
    generator = torch.Generator().manual_seed(2)
    directions = [torch.randn(x.shape, generator=generator).to(x.device) for x in maps]
    torch.autograd.backward(maps, directions, retain_graph=True)


def _gradients(module: nn.Module) -> Mapping[str, Tensor]:
    """Return the gradients by our names, for a network of any layout."""
    values = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    return find_convnext(values, type(module).__name__).own


def _refuse(network: Network, what: str, error: float) -> None:
    if not error <= TOLERANCE:  # written so that NaN counts as wrong
        raise RuntimeError(
            f"the {what} of {network.name} differ by {error:.1e} of their size from those of "
            f"Meta's layout in float32: the times would compare different networks"
        )
