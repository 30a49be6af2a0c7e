"""Bytes of a model as it is packed for a GPU's tensor cores, to the byte."""

from collections.abc import Iterator
from dataclasses import dataclass

from leangen.generator.plan.ledger import Item
from leangen.generator.plan.parameters import Counts
from leangen.spec import Spec
from leangen.spec.matrices import named, projections

LAYOUT = "packing.py: tiles of 16 rows, units of 128 inputs"
ROWS, UNIT = 16, 128
SPLITS = 32  # of the tokens that one attends to: attention.py


@dataclass(frozen=True)
class Packed:
    """Matrices of one shape, one below the other, so many of them sparse."""

    out: int
    width: int
    count: int
    sparse: int

    @property
    def units(self) -> int:
        """Units of all tiles of one of them: 2,048 weights each."""
        return -(-self.out // ROWS) * -(-self.width // UNIT)


def packed_items(spec: Spec, counts: Counts) -> list[Item]:
    """Account for the weights as export.py packs them."""
    bits, group = spec.quantization.weights, spec.quantization.group_size
    head = Packed(spec.model.vocab_size, spec.model.hidden_size, 1, 0)
    layers = [*_matrices(spec)]
    units = sum(matrix.count * matrix.units for matrix in layers)
    sparse = sum(matrix.sparse * matrix.units for matrix in layers)
    weights = ROWS * UNIT * bits // 8 * (units - sparse) + 8 * UNIT * bits // 8 * sparse
    counted = {2_048: units - sparse, 1_024: sparse}
    formula = ", ".join(
        f"{number:,} units of {kept:,} x {bits} bits"
        for kept, number in counted.items()
        if number
    )
    items = [Item("weights", weights, formula, LAYOUT)]
    if sparse:
        what = f"{sparse:,} units of 1,024 x 2 bits: which two of four are there"
        items.append(Item("metadata", 256 * sparse, what, LAYOUT))
    if bits < 16:
        scales = (units + head.units) * ROWS * UNIT // group
        what = f"{scales:,} x 16 bits, one for {group} inputs, the head's included"
        items.append(Item("scales", 2 * scales, what, LAYOUT))
    head_bits = int(spec.engine.head.get(bits, bits))
    size = ROWS * UNIT * head_bits // 8 * head.units
    formula = f"{head.units:,} units of 2,048 x {head_bits} bits"
    if counts.head:
        size += 2 * counts.embedding
        formula += f", {counts.embedding:,} x 16 bits"
    items.append(Item("embeddings", size, formula, LAYOUT))
    norms = f"{counts.small:,} x 16 bits"
    return [*items, Item("norms", 2 * counts.small, norms, LAYOUT)]


def _matrices(spec: Spec) -> Iterator[Packed]:
    """List a layer's matrices, those that read the same as one, of all layers."""
    model = spec.model
    query = model.num_attention_heads * model.head_dim
    shared = 2 * model.num_key_value_heads * model.head_dim
    hidden, inner = model.hidden_size, model.intermediate_size
    shapes = {
        ("q_proj", "k_proj", "v_proj"): (query + shared, hidden),
        ("o_proj",): (hidden, query),
        (model.gate, model.up): (2 * inner, hidden),
        (model.down,): (hidden, inner),
    }
    depth = model.num_hidden_layers
    exempt = {*named(spec.sparsity.exempt, depth, projections(model.architecture))}
    for parts, (out, width) in shapes.items():
        dense = sum(
            any((layer, part) in exempt for part in parts) for layer in range(depth)
        )
        sparse = depth - dense if is_packed_sparse(spec) else 0
        yield Packed(out, width, depth, sparse)


def is_packed_sparse(spec: Spec) -> bool:
    """Whether the two of four weights that stay are stored without the others."""
    return spec.sparsity.pattern == "2:4"


def working(spec: Spec) -> Item:
    """Account for what a prompt is read with, and a token decoded, beside keys and values."""
    model, context = spec.model, spec.target.context
    tokens = min(spec.engine.step, context)
    heads = model.num_attention_heads
    reads = (heads + 2 * model.num_key_value_heads) * model.head_dim
    widest = model.hidden_size * max(2 * model.intermediate_size, reads)
    turned = reads + 5 * heads * model.head_dim  # of 16 bits: what turns is 32 wide
    each = 2 * model.hidden_size + max(4 * model.intermediate_size, turned)
    split = 4 * heads * SPLITS * (model.head_dim + 2) * spec.target.batch
    held = split + 4 * context * model.head_dim
    formula = (
        f"{widest:,} x 16 bits, the largest matrix unpacked; "
        f"{tokens:,} tokens x {each:,} x 16 bits; {held:,} bytes of angles and heads"
    )
    if spec.quantization.kv_cache < 16:  # a prompt attends to floats
        floats = 2 * 2 * context * model.num_key_value_heads * model.head_dim
        held += floats
        formula += f"; {floats:,} bytes of a layer's keys and values as floats"
    return Item("activations", 2 * widest + 2 * tokens * each + held, formula, LAYOUT)
