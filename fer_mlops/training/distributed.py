"""The processes that train one network together: which one this is, and what they add up.

Not DistributedDataParallel: it averages gradients of losses that each process computes over its own
faces, which is another number than the loss of the whole batch where the loss weighs classes. Here a
batch's logits are gathered and every process computes the one loss, so that its gradient, summed over
processes, is that of a single process. The network stays a plain module for averages, checkpoints
and Grad-CAM; what DDP's overlapping would win on networks of a few million weights is little.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fer_mlops.errors import TrainingError
from fer_mlops.processes import LOST

_TIMEOUT = timedelta(minutes=10)
"""After which a silent process counts as dead; an epoch's pictures take the first one seconds."""
_LONG = timedelta(days=1)
"""That the others wait while the first decodes or downloads; if it dies its launcher ends them."""


def world_size() -> int:
    """Returns how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Returns this process's number, from 0; the first one alone writes and shows."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_rank() -> int:
    """Returns this process's number on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def process_group(num_processes: int) -> Iterator[None]:
    """Joins the others that the launcher started; with one process, nothing.

    Raises:
        TrainingError: They cannot be reached.
    """
    if num_processes == 1:
        yield
        return
    with _reaching():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=_TIMEOUT)
    yield
    dist.destroy_process_group()  # after an exception it could wait for the dead


@contextmanager
def main_process_first() -> Iterator[None]:
    """Lets the first process through alone, and the others when it is done.

    What the first one decodes or downloads, the others find.
    """
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
    """Returns the network's answers [n, …] to all inputs [n, …], of which each process computes a share.

    Gradients flow into this process's share only; ``sum_gradients`` adds up the others'.
    """
    n = len(inputs)
    if n < 2 * world_size() or world_size() == 1:  # a share of one face would have no batch statistics
        return network(inputs)  # type: ignore[no-any-return]
    bounds = [n * number // world_size() for number in range(world_size() + 1)]
    start, end = bounds[rank()], bounds[rank() + 1]
    part = network(inputs[start:end]).float()
    whole = part.new_zeros((n, *part.shape[1:]))
    whole[start:end] = part.detach()
    _add_up(whole)
    return torch.cat([whole[:start], part, whole[end:]])


def sum_gradients(network: nn.Module) -> None:
    """Replaces gradients by their sum over processes, and running batch statistics by their mean."""
    if world_size() == 1:
        return
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    statistics = list(_running_statistics(network))
    for tensor in statistics:
        tensor.div_(world_size())
    _add_up_all([*gradients, *statistics])


def gather(value: Tensor) -> list[Tensor]:
    """Returns every process's ``value``, a tensor on the CPU of one shape and type."""
    if world_size() == 1:
        return [value]
    values = [torch.empty_like(value) for _ in range(world_size())]
    with _reaching():
        dist.all_gather(values, value)
    return values


def check_alike(what: str, numbers: Sequence[float]) -> None:
    """Returns if all processes pass the same numbers.

    Raises:
        TrainingError: They do not.
    """
    values = gather(torch.tensor(numbers, dtype=torch.float64))
    for number, value in enumerate(values):
        if not torch.equal(value, values[0]):
            raise TrainingError(
                f"process {number} has other {what} than process 0: {value.tolist()} instead of "
                f"{values[0].tolist()}; give all the same data, cache and weights"
            )


def _running_statistics(network: nn.Module) -> Iterable[Tensor]:
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.training and module.track_running_stats:
            assert module.running_mean is not None
            assert module.running_var is not None
            yield from (module.running_mean, module.running_var)


def _add_up_all(tensors: Sequence[Tensor]) -> None:
    """Replaces tensors by their sum over processes, in one exchange."""
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    _add_up(flat)
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))


def _add_up(tensor: Tensor) -> None:
    with _reaching():
        dist.all_reduce(tensor)


@contextmanager
def _reaching() -> Iterator[None]:
    """Says in a sentence that another process is gone.

    Raises:
        TrainingError: It is.
    """
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(LOST) from error
