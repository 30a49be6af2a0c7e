"""What stays dense in a sparse model: how much of it, and in words."""

from leangen.generator.plan.named import weights_named
from leangen.generator.plan.parameters import Counts
from leangen.spec import Spec
from leangen.spec.matrices import Name, parts_of


def exempt_share(spec: Spec, counts: Counts) -> float:
    """Share of the weights of all layers' matrices that stay dense."""
    named = weights_named(spec.model, counts, spec.sparsity.exempt)
    return named / counts.matrices


def in_words(exempt: tuple[Name, ...]) -> str:
    """Name what is exempt: layers 0 and 29, down_proj in every layer, and 3 matrices."""
    split = [parts_of(name) for name in exempt]
    layers = [str(layer) for layer, name in split if name is None]
    names = [name for layer, name in split if layer is None and name]
    single = len(exempt) - len(layers) - len(names)
    parts = []
    if layers:
        parts.append(f"{'layers' if len(layers) > 1 else 'layer'} {_and(layers)}")
    if names:
        parts.append(f"{_and(names)} in every layer")
    if single:
        parts.append(f"{single} single {'matrices' if single > 1 else 'matrix'}")
    return ", and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
