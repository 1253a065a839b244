"""Compressed gradients under torch.distributed: a communication hook for DistributedDataParallel.

    compressor = sp.gradient.TopK(ratio=0.01)
    ddp.register_comm_hook(None, sp.torch.ddp_hook(compressor, ddp))

Packets are exchanged through the process group that DDP uses (Gloo, NCCL), summed in ascending rank order and divided by
the number of ranks: every rank has the same bits.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, Optional

import torch
import torch.distributed

from . import _sparsert
from . import dist as _dist
from .gradient import Packet, _Base

__all__ = ["ddp_hook"]


def _gather(data: bytes, device: torch.device, group: Any, timeout: Optional[datetime.timedelta]) -> list[bytes]:
    """Every rank's bytes, by way of lengths and padded buffers."""
    world = torch.distributed.get_world_size(group)

    def all_gather(mine: torch.Tensor) -> list[torch.Tensor]:
        parts = [torch.empty_like(mine) for _ in range(world)]
        work = torch.distributed.all_gather(parts, mine, group=group, async_op=True)
        work.wait(timeout) if timeout is not None else work.wait()
        return parts

    lengths = [int(n) for n in all_gather(torch.tensor([len(data)], dtype=torch.int64, device=device))]
    padded = bytearray(data) + bytearray(max(lengths) - len(data))
    buffers = all_gather(torch.frombuffer(padded, dtype=torch.uint8).to(device))
    return [bytes(b.cpu().numpy()[:n]) for b, n in zip(buffers, lengths)]


def ddp_hook(
    compressor: _Base,
    model: Optional[torch.nn.Module] = None,
    process_group: Any = None,
    timeout: Optional[float] = None,
) -> Callable[[Any, torch.distributed.GradBucket], torch.futures.Future[torch.Tensor]]:
    """A hook for `DistributedDataParallel.register_comm_hook`.

    Residuals are kept by parameter name, which `model` tells; without it, by the order in which parameters are first
    seen. They survive DDP's rebuilding of its buckets, and saving by `compressor.state_dict()`. `timeout` is in seconds.
    `hook.bytes_on_wire` and `hook.density` say what the last bucket took.
    """
    names: dict[int, str] = {}
    if model is not None:
        names = {id(p): name.removeprefix("module.") for name, p in model.named_parameters()}
    limit = None if timeout is None else datetime.timedelta(seconds=timeout)

    def hook(state: Any, bucket: torch.distributed.GradBucket) -> torch.futures.Future[torch.Tensor]:
        gradients = {}
        for parameter, gradient in zip(bucket.parameters(), bucket.gradients()):
            name = names.setdefault(id(parameter), f"parameter.{len(names)}")
            gradients[name] = gradient.detach().contiguous()
        packet = compressor.compress({name: _sparsert.from_dlpack(g) for name, g in gradients.items()})
        device = bucket.buffer().device
        try:
            received = _gather(packet.to_bytes(), device, process_group, limit)
            packets = [Packet(data) for data in received]
            total = _dist.sum(packets)
        except Exception:
            compressor.restore(packet)
            raise
        world = len(packets)
        for gradient, name in zip(bucket.gradients(), gradients):
            mean = torch.from_numpy(total[name].numpy()).to(gradient) / world
            gradient.copy_(mean.view_as(gradient))
        hook.bytes_on_wire = packet.nbytes * (world - 1)  # type: ignore[attr-defined]
        hook.density = packet.density  # type: ignore[attr-defined]
        future: torch.futures.Future[torch.Tensor] = torch.futures.Future()
        future.set_result(bucket.buffer())
        return future

    # DDP compares the annotations with its own types, which strings are not.
    hook.__annotations__ = {
        "state": object,
        "bucket": torch.distributed.GradBucket,
        "return": torch.futures.Future[torch.Tensor],
    }
    return hook
