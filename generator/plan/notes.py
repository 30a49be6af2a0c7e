"""What a reader of the plan must know: what a pattern saves, and what it costs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from leangen.generator.plan.exempt import exempt_share, in_words
from leangen.generator.plan.ledger import UNDERSTATED, StagePlan
from leangen.generator.plan.named import mean_bits, weights_by_bits
from leangen.generator.plan.parameters import count
from leangen.generator.plan.serve import engine_name, skips_zeros
from leangen.generator.stages.traits import calibrates_cache
from leangen.spec import Spec
from leangen.spec.catalogue.on_gpu import lacks


@dataclass(frozen=True)
class Published:
    """Perplexities on WikiText-2 with a method, as its authors' tables have them.

    half, two_of_four: of LLaMA-2-7B at 4,096 tokens, 5.12 dense (README of
    locuslab/wanda at 8e8fc87b). seventy: of LLaMA-7B at 2,048 tokens, 5.68 dense, 70
    percent unstructured (README of luuyin/OWL at dddb7a4b).
    """

    method: str
    half: float
    two_of_four: float
    seventy: float

    @property
    def usual(self) -> str:
        """Write what half of the weights cost."""
        return (
            f"{self.method}, LLaMA-2-7B, WikiText-2 at 4,096 tokens: perplexity 5.12 dense, "
            f"{self.half:,} at 50 percent, {self.two_of_four:,} at 2:4 (arXiv:2306.11695)"
        )

    @property
    def much(self) -> str:
        """Write what 70 percent of the weights cost."""
        return (
            f"{self.method}, LLaMA-7B, WikiText-2 at 2,048 tokens: perplexity 5.68 dense, "
            f"{self.seventy:,} at 70 percent (arXiv:2310.05175)"
        )


PUBLISHED = {
    "magnitude": Published("magnitude", 14.89, 54.59, 48_419),
    "wanda": Published("Wanda", 6.42, 11.02, 85.77),
    "sparsegpt": Published("SparseGPT", 6.51, 10.17, 26.30),
}


def warnings(spec: Spec) -> Iterator[str]:
    """Say what the engine makes of the spec, and how much of its zeros is usual."""
    engine = spec.engine
    if engine.device == "cpu" and spec.target.hardware.kind == "cuda":
        yield _beside_a_gpu(spec)
    if engine.group_size and engine.group_size != spec.quantization.group_size:
        yield (
            f"quantization.group_size does nothing: {engine.engine}'s formats have "
            f"groups of {engine.group_size}"
        )
    if spec.sparsity.shrinks:
        yield _smaller(spec)
    elif spec.sparsity.pattern != "dense":
        yield from _kernel(spec)
        dense = exempt_share(spec, count(spec.model))
        yield _share(zeros(spec) * (1 - dense), spec)
        if dense:
            what = in_words(spec.sparsity.exempt)
            yield f"{what}: dense, {dense:.0%} of the layers' weights (sparsity.exempt)"
        if spec.sparsity.steps > 1:
            yield _steps(spec)
    yield from _mixed(spec)
    if calibrates_cache(spec):
        yield (
            "keys and values of 8 bits are slow to read a prompt with: 1,792 tokens took "
            "SmolLM2-135M 1.6 times as long, the next one no longer (docs/results.md)"
        )
    window = spec.model.sliding_window
    if window and spec.target.context > window and not engine.slides:
        yield (
            f"the model looks back {window:,} tokens: an engine that honours it holds "
            "fewer keys and values than are counted here"
        )


def _beside_a_gpu(spec: Spec) -> str:
    """Say that the GPU of the target serves nothing, and whether it could."""
    hardware = spec.target.hardware
    lacking = [what for _, what in lacks(hardware, vars(spec.model))]
    why = "torch would serve on it (serve.engine)"
    if lacking:
        why = (
            f"torch, which would serve on it, does not take {lacking[0]}; "
            "serve.device: cuda can be planned"
        )
    return (
        f"{spec.engine.engine} computes on the CPU of the machine that has the "
        f"{hardware.id}, whose GPU serves nothing: {why}"
    )


def tightness(stages: Iterable[StagePlan]) -> Iterator[str]:
    """Name the stages that fit by less than the plan has been wrong."""
    names = [stage.stage for stage in stages if stage.tight]
    if names:
        yield (
            f"tight: {', '.join(names)}, by less than the {UNDERSTATED:.1%} that a plan has "
            "been seen to lie below a measurement (docs/results.md)"
        )


def zeros(spec: Spec) -> float:
    """Share of the weights that become zero where a pattern is."""
    kept = spec.sparsity.kept
    return 1 - kept[0] / kept[1] if kept else spec.sparsity.ratio or 0.0


def _steps(spec: Spec) -> str:
    """Say what prune.py leaves to the recovery."""
    kept, first = spec.sparsity.kept, spec.sparsity.gone[0]
    share = first / kept[1] if kept else first
    return (
        f"prune.py takes the first of {spec.sparsity.steps} steps, {share:.0%} of the "
        "weights, and recover.py the others"
    )


def _mixed(spec: Spec) -> Iterator[str]:
    """Say how much of the model has other bits, of what pruning leaves."""
    left = replace(spec, model=spec.pruned)
    by_bits = weights_by_bits(left, count(left.model))
    for bits in spec.quantization.exceptions:
        share = by_bits[bits] / sum(by_bits.values())
        yield (
            f"{share:.0%} of the layers' weights have {bits} bits "
            f"(quantization.exceptions): {mean_bits(by_bits):.2f} on average, and scales"
        )


def _smaller(spec: Spec) -> str:
    """Say what structured pruning leaves, of which every engine has the saving."""
    model, left = spec.model, spec.pruned
    sizes = {
        "channels a layer": (model.intermediate_size, left.intermediate_size),
        "heads": (model.num_attention_heads, left.num_attention_heads),
        "layers": (model.num_hidden_layers, left.num_hidden_layers),
        "parameters": (count(model).total, count(left).total),
    }
    changed = [
        f"{what} {before:,} to {after:,}"
        for what, (before, after) in sizes.items()
        if before != after
    ]
    advice = "" if spec.sparsity.recover else "; expect little of it without recovery"
    return f"structured: {', '.join(changed)}, dense in every engine{advice}"


def _kernel(spec: Spec) -> Iterator[str]:
    """Say that zeros are stored and multiplied where no kernel skips them."""
    engine, pattern = spec.engine, spec.sparsity.pattern
    if skips_zeros(spec):
        return
    name = engine_name(engine)
    able = engine.patterns.get(pattern, ())
    bits = spec.quantization.weights
    mixed = able and spec.quantization.exceptions
    if able and not spec.target.hardware.sparse_24:
        why = f"{spec.target.hardware.id} has no sparse tensor cores"
    elif mixed:
        why = f"{name} is not planned to skip zeros where matrices differ in bits"
    elif able:
        why = f"{name} skips its zeros at {' or '.join(map(str, able))} bits, not at {bits}"
    else:
        why = f"{name} has no kernel that skips its zeros"
    yield f"{pattern} saves no bytes and no time: {why} ({engine.source})"


def _share(share: float, spec: Spec) -> str:
    """Place a share of zeros among those published with the same method."""
    published = PUBLISHED.get(spec.sparsity.method)
    figures = ""
    if published:
        figures = f"; {published.usual if share <= 0.5 else published.much}"
    return f"{share:.0%} of the weights become zero: {_verdict(share, spec)}{figures}"


def _verdict(share: float, spec: Spec) -> str:
    if share <= 0.5 and spec.sparsity.method == "magnitude":
        return "usual, though sparsity.method: wanda loses less by it"
    if share <= 0.5:
        return "usual"
    if share < 0.7:
        return "risky, measure the perplexity"
    if spec.sparsity.recover:
        return "more than a short recovery has been seen to repair"
    return "expect collapse without recovery"
