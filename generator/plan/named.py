"""How large the matrices are that layers and projections name; bits that differ by them."""

from collections.abc import Iterable, Mapping, Sequence

from leangen.generator.plan.parameters import Counts
from leangen.spec import Spec
from leangen.spec.matrices import Name, named, parted, projections
from leangen.spec.spec import Model

QKV = ("q_proj", "k_proj", "v_proj")  # which the exported graph multiplies by as one


def weights_named(model: Model, counts: Counts, names: Iterable[Name]) -> int:
    """Count the weights of all matrices that are named.

    A layer is as large as another: those with experts and without are not told apart.
    """
    query = model.hidden_size * model.num_attention_heads * model.head_dim
    shared = model.hidden_size * model.num_key_value_heads * model.head_dim
    layer = counts.matrices / model.num_hidden_layers
    inner = (layer - 2 * (query + shared)) / 3
    sizes = {
        **dict.fromkeys(("q_proj", "o_proj"), query),
        **dict.fromkeys(("k_proj", "v_proj"), shared),
        **dict.fromkeys((model.gate, model.up, model.down), inner),
    }
    matrices = named(names, model.num_hidden_layers, projections(model.architecture))
    return round(sum(sizes[projection] for _, projection in matrices))


def weights_by_bits(spec: Spec, counts: Counts) -> dict[int, int]:
    """Count the weights of the layers' matrices by their bits, the most usual bits first."""
    model, quantization = spec.model, spec.quantization
    exceptions: Mapping[int, int] = {
        bits: weights_named(model, counts, listed)
        for bits, listed in quantization.exceptions.items()
    }
    rest = counts.matrices - sum(exceptions.values())
    return {quantization.weights: rest, **exceptions}


def mean_bits(by_bits: Mapping[int, int]) -> float:
    """Give the bits of a weight on average."""
    weights = sum(by_bits.values())
    return sum(bits * count for bits, count in by_bits.items()) / weights


def parts_attention(spec: Spec) -> bool:
    """Whether queries, keys and values have different bits in some layer."""
    return _parts(spec, QKV)


def parts_experts(spec: Spec) -> bool:
    """Whether the matrices of an expert have different bits in some layer."""
    model = spec.model
    return _parts(spec, (model.gate, model.up, model.down))


def bits_of_experts(spec: Spec) -> set[int]:
    """List the bits that experts have in some layer."""
    model, quantization = spec.model, spec.quantization
    layers, within = model.num_hidden_layers, projections(model.architecture)
    found, rest = set(), layers
    for bits, listed in quantization.exceptions.items():
        matrices = named(listed, layers, within)
        among = sum(projection == model.down for _, projection in matrices)
        found |= {bits} if among else set()
        rest -= among
    return found | ({quantization.weights} if rest else set())


def _parts(spec: Spec, together: Sequence[str]) -> bool:
    model, exceptions = spec.model, spec.quantization.exceptions
    within = projections(model.architecture)
    return parted(exceptions, model.num_hidden_layers, within, together) is not None
