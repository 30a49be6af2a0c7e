"""What a reader of the plan must know: what a pattern saves, and what it costs."""

from collections.abc import Iterable, Iterator

from leangen.generator.plan.ledger import UNDERSTATED, StagePlan
from leangen.generator.plan.serve import engine_name, skips_zeros
from leangen.spec import Spec

WANDA = "Wanda, arXiv:2306.11695, LLaMA-2-7B: perplexity 5.12 dense, 6.42 at 50 percent"
OWL = "OWL, arXiv:2310.05175, LLaMA-7B with Wanda: perplexity 5.68 dense, 85.77 at 70 percent"


def warnings(spec: Spec) -> Iterator[str]:
    """Say what the engine makes of the spec, and how much of its zeros is usual."""
    engine, hardware = spec.engine, spec.target.hardware
    if engine.device == "cpu" and hardware.kind == "cuda":
        yield (
            f"{engine.engine} computes on the CPU of the machine that has the "
            f"{hardware.id}, whose GPU serves nothing; serve.device: cuda can be planned"
        )
    if engine.group_size and engine.group_size != spec.quantization.group_size:
        yield (
            f"quantization.group_size does nothing: {engine.engine}'s formats have "
            f"groups of {engine.group_size}"
        )
    if spec.sparsity.pattern != "dense":
        yield from _kernel(spec)
        yield _share(zeros(spec), spec)
    if spec.model.sliding_window and spec.target.context > spec.model.sliding_window:
        yield (
            f"the model looks back {spec.model.sliding_window:,} tokens: an engine that "
            "honours it holds fewer keys and values than are counted here"
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
    """Share of the weights that become zero."""
    kept = spec.sparsity.kept
    return 1 - kept[0] / kept[1] if kept else spec.sparsity.ratio or 0.0


def _kernel(spec: Spec) -> Iterator[str]:
    """Say that zeros are stored and multiplied where no kernel skips them."""
    engine, pattern = spec.engine, spec.sparsity.pattern
    if skips_zeros(spec):
        return
    name = engine_name(engine)
    able = engine.patterns.get(pattern, ())
    bits = spec.quantization.weights
    if able and not spec.target.hardware.sparse_24:
        why = f"{spec.target.hardware.id} has no sparse tensor cores"
    elif able:
        why = f"{name} skips its zeros at {' or '.join(map(str, able))} bits, not at {bits}"
    else:
        why = f"{name} has no kernel that skips its zeros"
    yield f"{pattern} saves no bytes and no time: {why} ({engine.source})"


def _share(share: float, spec: Spec) -> str:
    """Place a share of zeros among the published ones."""
    recovered = spec.sparsity.recover is not None
    percent = f"{share:.0%} of the weights become zero"
    if share <= 0.5:
        return f"{percent}: usual ({WANDA}; 2:4 costs more than unstructured: 11.02)"
    if share < 0.7:
        return f"{percent}: risky, measure the perplexity ({OWL})"
    if recovered:
        return f"{percent}: more than a short recovery has been seen to repair ({OWL})"
    return f"{percent}: expect collapse without recovery ({OWL})"
