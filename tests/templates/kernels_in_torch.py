"""What the kernels of a GPU compute, in torch on a CPU: appended to their modules in tests.

`read_weights` finds each weight where the CUDA source says that it lies (`element` there).
"""

# ruff: noqa: F821 - the names are those of the modules
# mypy: ignore-errors
import math
from functools import cache

import numpy as np
import torch

GROUP = globals().get("GROUP", 128)


def read_weights(values, places, scales, K, N, bits, sparse):
    """Unpack a matrix: (N, K)."""
    words = values.numpy().view(np.uint32).reshape(-1, 32, 4)
    units, loads = -(-K // 128), (4 if sparse else 8) * bits // 16
    row, k = np.arange(N)[:, None], np.arange(K)[None]
    g, high, inside = row % 8, row // 8 % 2, k % 128
    unit = row // 16 * units + k // 128
    if sparse:
        step, group = inside // 32, inside % 16 // 4 * 2 + inside // 16 % 2
        kept = places.numpy().view(np.uint32).reshape(-1, 32, 2)
        word = kept[unit, g * 4 + step // 2 * 2 + group // 4, step % 2]
        two = word >> (16 * high + group % 4 * 4).astype(np.uint32)
        second = k % 4 == (two >> 2 & 3)
        there = second | (k % 4 == (two & 3))
        lane, i = g * 4 + group % 4, high + group // 4 * 2
    else:
        step, second, there = inside // 32 * 2 + inside % 8 // 4, k % 2, True
        lane, i = g * 4 + inside // 8 % 4, high + k % 4 // 2 * 2
    second = second.astype(np.int64)
    word_of, at = {
        4: (step + 0 * i, i + 4 * second),
        8: (step * 2 + i // 2, i % 2 * 2 + second),
        16: (step * 4 + i, second + 0 * i),
    }[bits]
    found = words[unit * loads + word_of // 4, lane, word_of % 4]
    found = found >> (at * bits).astype(np.uint32) & np.uint32(2**bits - 1)
    if bits == 16:
        weights = (found << 16).view(np.float32)
    else:
        steps = scales.view(torch.bfloat16).float().numpy().reshape(-1, 8, 2)
        scale = steps[unit * (128 // GROUP) + inside // GROUP, g, high]
        weights = (found.astype(np.float32) - 2 ** (bits - 1)) * scale
    return torch.from_numpy(np.where(there, weights, np.float32(0)))


@cache
def product_kernel(name, bits, sparse, how, normed=False, sums=4):
    def product(values, places, scales, x, norm, y, K, N, tokens):
        assert tokens <= sums and not (normed and tokens > 1)
        x = x.float().view(tokens, K)
        if normed:
            x = torch.nn.functional.rms_norm(x, (K,), norm.float(), RMS_NORM_EPS)
        made = x @ read(values, places, scales, K, N).T
        if how == 1:
            made += y.float().view(tokens, N)
        if how == 2:
            gate, up = made.view(tokens, -1, 2, 8).unbind(2)
            made = (torch.nn.functional.silu(gate) * up).flatten(1)
        y.view(tokens, -1).copy_(made)

    def unpack(values, places, scales, y, K, N):
        weights = read(values, places, scales, K, N)
        if how == 2:
            weights = weights.view(-1, 2, 8, K).transpose(0, 1)
        y.copy_(weights.reshape(N, K))

    def look_up(values, places, scales, tokens, y, K):
        N = 16 * len(values)
        y.copy_(read(values, places, scales, K, N)[tokens.long()])

    @cache  # a tensor is its own key
    def read(values, places, scales, K, N):
        return read_weights(values, places, scales, K, N, bits, sparse)

    return launched(locals()[name])


@cache
def rows_kernel(bits, sparse, how, columns):
    def rows(values, places, scales, x, y, K, N, tokens, depth):
        assert tokens == len(x) <= 8 * columns
        product(None, None, [values, places, scales, x, x, y, K, N, tokens])

    product = product_kernel("product", bits, sparse, how, sums=32)
    return launched(rows)


def normalize_kernel():
    def normalize(x, norm, y, K):
        y.copy_(
            torch.nn.functional.rms_norm(x.float(), (K,), norm.float(), RMS_NORM_EPS)
        )

    return launched(normalize)


def attend():
    def attend_rows(qkv, angles, positions, slots, *given):
        held = 3 if given[0].dtype == torch.int8 else 2  # keys, values, scales
        for row, (position, slot) in enumerate(zip(positions, slots.tolist())):
            if position >= 0:
                own = *given[held:-2], given[-2][row], given[-1]
                cache = [of_all[slot] for of_all in given[:held]]
                attend(qkv[row], angles, position, *cache, *own)

    def attend(qkv, angles, position, keys, values, *given):
        if keys.dtype == torch.int8:
            scales, *given = given
        learned, y = given[:-4], given[-2]  # biases, norms, or neither
        at, K = int(position), NUM_KEY_VALUE_HEADS
        heads = qkv.view(-1, HEAD_DIM).float()
        if len(learned) == 1:
            heads = heads + learned[0].view_as(heads)
        if len(learned) == 2:
            parts = heads.split((NUM_ATTENTION_HEADS, K, K))
            normed = [
                torch.nn.functional.rms_norm(x, (HEAD_DIM,), w.float(), RMS_NORM_EPS)
                for x, w in zip(parts, learned, strict=False)
            ]
            heads = torch.cat((*normed, parts[2]))
        cosine, sine = angles[at].chunk(2)
        a, b = heads[:-K].chunk(2, 1)
        turned = torch.cat((a * cosine - b * sine, b * cosine + a * sine), 1)
        past = []
        for i, (held, newest) in enumerate(((keys, turned), (values, heads))):
            if held.dtype == torch.int8:
                held[:, at], scales[:, at, i] = round_heads(newest[-K:].bfloat16())
                steps = scales[:, : at + 1, i, None].float()
                past.append(held[:, : at + 1] * steps)
            else:
                held[:, at] = newest[-K:]
                past.append(held[:, : at + 1].float())
        share = NUM_ATTENTION_HEADS // K
        k, v = (c.repeat_interleave(share, 0) for c in past)
        scores = (k @ turned[:-K, :, None])[:, :, 0] / math.sqrt(HEAD_DIM)
        y.copy_((torch.softmax(scores, 1)[:, None] @ v).view_as(y))

    several = lambda given: given[4].dim() == 4  # slots are given, too
    return lambda grid, threads, given: (attend_rows if several(given) else attend)(
        *given
    )


def multiprocessors():
    return 4


def shared_memory():
    return 100_000


def launched(kernel):
    return lambda grid, threads, given, lent=0: kernel(*given)
