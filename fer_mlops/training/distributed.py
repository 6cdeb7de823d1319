"""Distributed training: process group, ranks, and sums over processes."""

# DistributedDataParallel is not used. It averages the gradients of losses that each process computes on
# its own faces; for a class-weighted loss this differs from the gradient of the whole batch's loss. Here
# the logits of a batch are gathered and every process computes the same loss, so that the sum of the
# gradients equals that of a single process. The network stays a plain module for weight averaging,
# checkpoints and Grad-CAM; DDP's overlapping would save little time on a few million weights.

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fer_mlops.errors import TrainingError
from fer_mlops.processes import LOST

# time without a response after which a process counts as dead; drawing an epoch's images takes the first
# process only seconds
_TIMEOUT = timedelta(minutes=10)
# time that other processes wait while the first decodes or downloads; if the first process dies, the
# launcher ends them
_LONG = timedelta(days=1)


def world_size() -> int:
    """Returns the number of processes in the process group; 1 without a group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Returns this process's number, from 0; only process 0 writes files and shows output."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_rank() -> int:
    """Returns this process's number on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def process_group(num_processes: int) -> Iterator[None]:
    """Joins the process group that the launcher started; does nothing for a single process.

    Raises:
        TrainingError: The other processes cannot be reached.
    """
    if num_processes == 1:
        yield
        return
    with _reaching():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=_TIMEOUT)
    yield
    dist.destroy_process_group()  # not in a finally: after an error it could wait for dead processes


@contextmanager
def main_process_first() -> Iterator[None]:
    """Runs the block in the first process, then in the others, which find its files."""
    if world_size() == 1:
        yield
        return
    patient = dist.new_group(backend="gloo", timeout=_LONG)
    assert isinstance(patient, dist.ProcessGroup)
    if rank() > 0:
        with _reaching():
            dist.barrier(patient)
    yield
    if rank() == 0:
        with _reaching():
            dist.barrier(patient)


def forward(network: nn.Module, inputs: Tensor) -> Tensor:
    """Returns the network's outputs [n, …] for all inputs [n, …]; each process computes a share."""
    n = len(inputs)
    if n < 2 * world_size() or world_size() == 1:  # a share of one face has no batch statistics
        return network(inputs)  # type: ignore[no-any-return]
    bounds = [n * number // world_size() for number in range(world_size() + 1)]
    start, end = bounds[rank()], bounds[rank() + 1]
    part = network(inputs[start:end]).float()
    whole = part.new_zeros((n, *part.shape[1:]))
    whole[start:end] = part.detach()
    # every row is zero in all processes but one, so the sum is a gather of shares of any size
    _add_up(whole)
    # gradients flow only through this process's share; `sum_gradients` adds those of the others
    return torch.cat([whole[:start], part, whole[end:]])


def sum_gradients(network: nn.Module) -> None:
    """Replaces gradients with their sum over processes, and running batch statistics with their mean."""
    if world_size() == 1:
        return
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    norms = [norm for norm in network.modules() if isinstance(norm, _BatchNorm) and norm.training]
    running = [tensor for norm in norms for tensor in (norm.running_mean, norm.running_var)]
    statistics = [tensor for tensor in running if tensor is not None]
    for tensor in statistics:
        tensor.div_(world_size())
    tensors = [*gradients, *statistics]
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])  # a single exchange
    _add_up(flat)
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))


def gather(value: Tensor) -> list[Tensor]:
    """Returns every process's ``value``: CPU tensors of the same shape and type."""
    if world_size() == 1:
        return [value]
    values = [torch.empty_like(value) for _ in range(world_size())]
    with _reaching():
        dist.all_gather(values, value)
    return values


def check_alike(numbers: Sequence[float]) -> None:
    """Raises TrainingError unless all processes pass the same numbers about faces and weights."""
    values = gather(torch.tensor(numbers, dtype=torch.float64))
    for number, value in enumerate(values):
        if not torch.equal(value, values[0]):
            raise TrainingError(
                f"process {number} has other faces or weights than process 0: {value.tolist()} instead "
                f"of {values[0].tolist()}; use the same data, cache and weights in all processes"
            )


def _add_up(tensor: Tensor) -> None:
    with _reaching():
        dist.all_reduce(tensor)


@contextmanager
def _reaching() -> Iterator[None]:
    """Turns a failed exchange into a TrainingError: another process is gone."""
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(LOST) from error
