"""One network on several workers: DDP, where each holds the whole of it, or FSDP2, where each holds a share.

Both give what one worker with all the rows would give (tests/test_train_parallel.py).
"""

import contextlib
from collections.abc import Iterator

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as collective
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel


def workers() -> int:
    """How many train together; 1 without a process group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def distributed(network: nn.Module, how: str, device: torch.device, partly: bool = False) -> nn.Module:
    """The network as a step calls it, which may be `partly`: not every parameter has a gradient then. "fsdp" also
    makes its parameters shares of themselves, in place."""
    if how == "fsdp":
        mesh = init_device_mesh(device.type, (workers(),))
        for block in blocks(network):
            fully_shard(block, mesh=mesh)
        fully_shard(network, mesh=mesh)
        return network
    if workers() == 1:
        return network
    ids = [device] if device.type == "cuda" else None
    return DistributedDataParallel(network, device_ids=ids, find_unused_parameters=partly)


def blocks(network: nn.Module) -> Iterator[nn.Module]:
    """What is gathered and let go as one: the members of the outermost lists of a network, its repeated blocks."""
    for child in network.children():
        if isinstance(child, nn.ModuleList):
            yield from (member for member in child if any(p.numel() for p in member.parameters()))
        else:
            yield from blocks(child)


@contextlib.contextmanager
def synchronised(network: nn.Module, last: bool) -> Iterator[None]:
    """A forward and backward pass whose gradients the workers share only if it is the `last` of a step."""
    if isinstance(network, FSDPModule):
        network.set_requires_gradient_sync(last)
        yield
    elif isinstance(network, DistributedDataParallel) and not last:
        with network.no_sync():
            yield
    else:
        yield


def whole(tensor: Tensor) -> Tensor:
    """A tensor of which each worker has a share, put together; all workers call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(tensor: Tensor) -> Tensor:
    """The rows of all workers' tensors of one shape, in the workers' order; gradients go back to whom they are due."""
    return torch.cat(collective.all_gather(tensor)) if workers() > 1 else tensor


def mean(values: Tensor) -> Tensor:
    """The mean of the workers' tensors, on each of them; all workers call it."""
    if workers() > 1:
        dist.all_reduce(values)
        values /= workers()
    return values
