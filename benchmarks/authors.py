"""The authors' own code of Wanda, SparseGPT and GPTQ, run on a model of transformers 5."""

import argparse
import contextlib
import gc
import importlib
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from leangen.benchmarks.quality import load, quality

Change = Callable[[nn.Linear], tuple[Any, Callable[[], None]]]


def theirs(asked: argparse.Namespace, row: str, calibration: Tensor) -> list[str]:
    """Run the authors' code: quality, its own seconds, and MiB that torch allocated."""
    method, _, how = row.partition(":")
    model = load(asked, asked.model, torch.float16)
    if method != "wanda":
        model.to("cpu")
    gc.collect()  # what the row before left is not this one's
    torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    with torch.no_grad(), contextlib.redirect_stdout(None):
        if method == "wanda":
            prune_wanda(asked, model, calibration, how)
        else:
            go_through(asked, model, calibration, change_of(asked, method, how))
    torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated() / 2**20
    model.float().to(asked.device)
    return [*quality(asked, model), f"{seconds:.1f}", f"{peak:,.0f}"]


def prune_wanda(
    asked: argparse.Namespace, model: Any, calibration: Tensor, how: str
) -> None:
    """Call the authors' function, with the text and what the first layer reads from here."""
    inputs, places, angles = embedded(asked, model, calibration)
    data: Any = ModuleType("lib.data")  # theirs downloads C4
    data.get_loaders = lambda *_, **__: (None, None)
    sys.modules["lib.data"] = data
    module = authors(asked.wanda, "lib.prune")
    hooks = [  # transformers 5 gives the angles to each layer
        layer.register_forward_pre_hook(
            lambda _, given, named: (given, named | {"position_embeddings": angles}),
            with_kwargs=True,
        )
        for layer in model.model.layers
    ]
    model.hf_device_map, model.seqlen = {}, asked.length
    ratio, goes, group = zeros_of(how)
    wanted = SimpleNamespace(
        nsamples=asked.sequences, seed=0, sparsity_ratio=ratio, use_variant=False
    )
    first = inputs, torch.zeros_like(inputs), None, places
    with patch.object(module, "prepare_calibration_input", lambda *_: first):
        module.prune_wanda(wanted, model, None, asked.device, goes, group)
    for hook in hooks:
        hook.remove()


def go_through(
    asked: argparse.Namespace, model: Any, calibration: Tensor, change: Change
) -> None:
    """Go through the layers as their llama.py does: measure, change, and run once more."""
    inputs, places, angles = embedded(asked, model, calibration)
    outputs = torch.zeros_like(inputs)

    def run(layer: nn.Module) -> None:
        for j in range(len(inputs)):
            made = layer(inputs[j : j + 1], None, places, position_embeddings=angles)
            outputs[j] = made[0] if isinstance(made, tuple) else made.squeeze(0)

    for layer in model.model.layers:
        layer.to(asked.device)
        matrices = [part for part in layer.modules() if isinstance(part, nn.Linear)]
        changes = [change(matrix) for matrix in matrices]
        hooks = [
            matrix.register_forward_hook(seen(method))
            for matrix, (method, _) in zip(matrices, changes, strict=True)
        ]
        run(layer)
        for hook in hooks:
            hook.remove()
        for method, finish in changes:
            finish()
            method.free()
        run(layer)
        layer.to("cpu")
        torch.cuda.empty_cache()
        inputs, outputs = outputs, inputs


def seen(method: Any) -> Any:
    return lambda _, inputs, output: method.add_batch(inputs[0].data, output.data)


def change_of(asked: argparse.Namespace, method: str, how: str) -> Change:
    """Give what makes of a matrix an instance of the authors' class, and its last call."""
    module = authors(getattr(asked, method), method)

    def prune(matrix: nn.Linear) -> tuple[Any, Callable[[], None]]:
        ratio, goes, group = zeros_of(how)
        made = module.SparseGPT(matrix)
        return made, partial(made.fasterprune, ratio, prunen=goes, prunem=group)

    def quantize(matrix: nn.Linear) -> tuple[Any, Callable[[], None]]:
        bits, group = map(int, how.split(":"))
        made = module.GPTQ(matrix)
        made.quantizer = module.Quantizer()
        made.quantizer.configure(bits, perchannel=True, sym=True, mse=False)
        return made, partial(made.fasterquant, groupsize=group)

    return quantize if method == "gptq" else prune


def zeros_of(how: str) -> tuple[float, int, int]:
    """What the authors' functions take: the share that goes, or how many of how many."""
    if ":" not in how:
        return float(how), 0, 0
    kept, group = map(int, how.split(":"))
    return 1 - kept / group, group - kept, group


def authors(folder: Path, name: str) -> Any:
    """Import a module of the authors'."""
    sys.modules.pop("quant", None)  # two of them have one, each another
    sys.path.insert(0, str(folder.resolve()))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


def embedded(
    asked: argparse.Namespace, model: Any, calibration: Tensor
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Make what the first layer reads, (N, T, C), the positions, and their angles."""
    embed = model.model.embed_tokens
    home = embed.weight.device
    embed.to(asked.device)
    inputs = torch.cat([embed(row[None].to(asked.device)) for row in calibration])
    embed.to(home)
    places = torch.arange(asked.length, device=asked.device)[None]
    return inputs, places, model.model.rotary_emb.to(asked.device)(inputs[:1], places)
