"""How good a checkpoint is: perplexity by transformers, in float32, and its share of zeros.

Windows do not overlap: those of every size of the first text, of the first size of the others.
"""

import argparse
import math
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

WINDOWS = (2_048, 512)
AT_ONCE = 8_192  # tokens


def load(asked: argparse.Namespace, folder: Path, dtype: torch.dtype) -> Any:
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    return model.to(asked.device).eval()


def checkpoint_quality(asked: argparse.Namespace, folder: Path) -> list[str]:
    """Measure a checkpoint as `quality` does, in float32."""
    return quality(asked, load(asked, folder, torch.float32))


def quality(asked: argparse.Namespace, model: Any) -> list[str]:
    """Perplexity on the texts, and the share of zeros in the layers' matrices."""
    windows = [(asked.test[0], size) for size in asked.windows]
    windows += [(text, asked.windows[0]) for text in asked.test[1:]]
    found = (
        perplexity(model, read_tokens(asked.model, text), size)
        for text, size in windows
    )
    parts = [
        part for part in model.model.layers.modules() if isinstance(part, nn.Linear)
    ]
    zeros = sum(int((part.weight == 0).sum()) for part in parts)
    share = zeros / sum(part.weight.numel() for part in parts)
    return [" / ".join(f"{value:.3f}" for value in found), f"{share:.2%}"]


@cache
def read_tokens(model: Path, text: Path) -> Tensor:
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    found = tokenizer.encode(text.read_text(), add_special_tokens=False)
    return torch.tensor(found.ids)


@torch.no_grad()
def perplexity(model: Any, tokens: Tensor, size: int) -> float:
    """Of all tokens but each window's first; the text's tail is dropped."""
    windows = tokens[: len(tokens) // size * size].view(-1, size).to(model.device)
    loss = 0.0
    for window in torch.split(windows, max(1, AT_ONCE // size)):
        logits = model(window).logits[:, :-1].flatten(0, 1).float()
        total = nn.functional.cross_entropy(
            logits, window[:, 1:].flatten(), reduction="sum"
        )
        loss += total.item()
    return math.exp(loss / (windows.numel() - len(windows)))
