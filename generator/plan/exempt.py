"""What stays dense in a sparse model: how much of it, and in words."""

from leangen.generator.plan.parameters import Counts
from leangen.spec import Spec


def exempt_share(spec: Spec, counts: Counts) -> float:
    """Share of the weights of all layers' matrices that stay dense.

    A layer is as large as another: those with experts and without are not told apart.
    """
    model, exempt = spec.model, spec.sparsity.exempt
    query = model.hidden_size * model.num_attention_heads * model.head_dim
    shared = model.hidden_size * model.num_key_value_heads * model.head_dim
    layer = counts.matrices / model.num_hidden_layers
    inner = (layer - 2 * (query + shared)) / 3
    sizes = {
        **dict.fromkeys(("q_proj", "o_proj"), query),
        **dict.fromkeys(("k_proj", "v_proj"), shared),
        **dict.fromkeys((model.gate, model.up, model.down), inner),
    }
    inside = sum(sizes[name] for name in exempt if isinstance(name, str)) / layer
    layers = sum(isinstance(name, int) for name in exempt) / model.num_hidden_layers
    return layers + (1 - layers) * inside


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
