"""What stays dense, or has other bits, is counted as the matrices by their names are."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from leangen.generator.plan import plan
from leangen.generator.plan.exempt import exempt_share
from leangen.generator.plan.parameters import count
from leangen.spec import LeangenError, Spec, loads
from leangen.spec.matrices import projections

FAMILIES = {"qwen3-0.6b": "qwen3", "mixtral-8x7b-v0.1": "mixtral"}
LAYERS = {"qwen3-0.6b": 28, "mixtral-8x7b-v0.1": 32}
Exempt = list[int | str]


def spec_of(preset: str, exempt: object, **sections: Any) -> Spec:
    page = {
        "leangen": 1,
        "name": "exempting",
        "model": {"preset": preset},
        "sparsity": {"pattern": "2:4", "exempt": exempt},
        "target": {"hardware": "rtx-4090", "context": 1024},
    }
    return loads(yaml.safe_dump(page | sections))


def matrices(spec: Spec) -> dict[tuple[int, str], int]:
    """Count the weights of each projection of each layer, of all experts together."""
    model, each = spec.model, spec.model.num_experts or 1
    inner = model.moe_intermediate_size or model.intermediate_size
    heads, shared = model.num_attention_heads, model.num_key_value_heads
    widths = [heads * model.head_dim, *[shared * model.head_dim] * 2]
    widths += [heads * model.head_dim, *[inner * each] * 3]
    names = projections(model.architecture)
    return {
        (i, name): model.hidden_size * width
        for i in range(model.num_hidden_layers)
        for name, width in zip(names, widths, strict=True)
    }


PRESETS = st.sampled_from([*FAMILIES])


@settings(max_examples=60, deadline=None)
@given(st.data(), PRESETS)
def test_the_share_is_that_of_the_matrices(data: st.DataObject, preset: str) -> None:
    layers = st.integers(0, LAYERS[preset] - 1)
    names = st.sampled_from(projections(FAMILIES[preset]))
    wide: Exempt = data.draw(st.lists(layers | names, max_size=6, unique=True))
    single = data.draw(st.lists(st.tuples(layers, names), max_size=6, unique=True))
    listed = wide + [f"{i}.{n}" for i, n in single if not {i, n}.intersection(wide)]
    listed = listed or [0]
    spec = spec_of(preset, listed)
    assert spec.sparsity.exempt == tuple(listed)
    sizes = matrices(spec)
    dense = sum(
        size
        for (i, name), size in sizes.items()
        if {i, name, f"{i}.{name}"}.intersection(listed)
    )
    counts = count(spec.model)
    assert sum(sizes.values()) == counts.matrices
    assert exempt_share(spec, counts) == pytest.approx(dense / counts.matrices)


@settings(max_examples=60, deadline=None)
@given(st.data(), PRESETS)
def test_other_bits_are_counted_as_the_matrices_are(
    data: st.DataObject, preset: str
) -> None:
    """Names inside others are refused; what is left is one of a layer, or neither."""
    layers, names = LAYERS[preset], projections(FAMILIES[preset])
    every = [(i, name) for i in range(layers) for name in names]
    picked = data.draw(st.lists(st.sampled_from(every), max_size=9, unique=True))
    whole = data.draw(st.none() | st.integers(0, layers - 1) | st.sampled_from(names))
    listed = [f"{i}.{name}" for i, name in picked if whole not in (i, name)]
    exceptions = {8: [*listed, *([whole] if whole is not None else [])] or [0]}
    page: dict[str, Any] = {
        "leangen": 1,
        "name": "mixed",
        "model": {"preset": preset},
        "quantization": {"weights": 4, "exceptions": exceptions},
        "target": {"hardware": "x86-avx512", "context": 1024},
    }
    spec = loads(yaml.safe_dump(page))
    wide = {
        (i, name)
        for i, name in every
        if {i, name, f"{i}.{name}"}.intersection(exceptions[8])
    }
    sizes = matrices(spec)
    ledger = {i.item: i for i in plan(spec).stages["serve"].ledger}
    bits = sum(size * (8 if one in wide else 4) for one, size in sizes.items())
    assert ledger["weights"].bytes == bits // 8
    for inside in listed[:1]:
        page["quantization"]["exceptions"] = {8: [*exceptions[8], inside]}
        with pytest.raises(LeangenError, match=f"{inside} is an exception already"):
            loads(yaml.safe_dump(page))


ANY = st.one_of(
    st.integers(-3, 300),
    st.booleans(),
    st.floats(-2, 40),
    st.none(),
    st.text(max_size=6),
)


@settings(max_examples=200, deadline=None)
@given(ANY | st.lists(ANY | st.sampled_from(projections("qwen3")), max_size=9), PRESETS)
def test_what_is_no_list_of_layers_and_projections_is_refused(
    exempt: Any, preset: str
) -> None:
    listed = exempt if isinstance(exempt, list) else [exempt]
    known = (*range(LAYERS[preset]), *projections(FAMILIES[preset]))
    whole = [item in known for item in listed]
    plain = not any(isinstance(item, bool) for item in listed)
    every = set(projections(FAMILIES[preset]))
    fine = listed and all(whole) and plain and len(set(listed)) == len(listed)
    try:
        found = spec_of(preset, exempt).sparsity.exempt
    except LeangenError as error:
        assert not fine or every <= {*listed}
        assert all(one.path.startswith("sparsity.exempt") for one in error.diagnostics)
        assert all(one.expected or one.suggestion for one in error.diagnostics)
    else:
        assert fine
        assert found == tuple(listed)


def test_exempt_layers_are_stored_whole() -> None:
    served = {}
    for exempt in ([0], [*range(14)]):
        torch = {"engine": "torch"}
        bits = {"weights": 16}
        spec = spec_of("qwen3-0.6b", exempt, serve=torch, quantization=bits)
        ledger = plan(spec).stages["serve"].ledger
        served[len(exempt)] = {item.item: item.bytes for item in ledger}
    layer = count(spec.model).matrices / 28
    for item, each in (("weights", 1), ("metadata", -1 / 8)):
        assert served[14][item] - served[1][item] == pytest.approx(13 * layer * each)
    some = spec_of("qwen3-0.6b", [0, "v_proj", "1.o_proj"])
    text = "layer 0, v_proj in every layer, and 1 single matrix: dense, "
    assert any(note.startswith(text) for note in plan(some).warnings)
    assert any(
        note.startswith(
            "layers 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 13: dense, 50%"
        )
        for note in plan(spec).warnings
    )
