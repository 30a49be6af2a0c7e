"""What stays dense in a sparse model: how much of it, and in words."""

from leangen.generator.plan.named import weights_named
from leangen.generator.plan.parameters import Counts
from leangen.spec import Spec


def exempt_share(spec: Spec, counts: Counts) -> float:
    """Share of the weights of all layers' matrices that stay dense."""
    named = weights_named(spec.model, counts, spec.sparsity.exempt)
    return named / counts.matrices


def in_words(exempt: tuple[int | str, ...]) -> str:
    """Name what is exempt: layers 0 and 29, and down_proj in every layer."""
    layers = [str(name) for name in exempt if isinstance(name, int)]
    names = [name for name in exempt if isinstance(name, str)]
    parts = []
    if layers:
        parts.append(f"{'layers' if len(layers) > 1 else 'layer'} {_and(layers)}")
    if names:
        parts.append(f"{_and(names)} in every layer")
    return ", and ".join(parts)


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
