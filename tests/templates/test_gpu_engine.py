"""The engine of a GPU beside transformers, its kernels replaced by what they compute.

On a machine with a GPU they are the kernels themselves. Without one their source is compiled,
where NVIDIA's compiler is installed, and its layout held against the manual's.
"""

import ctypes
import itertools
import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.conftest import built
from tests.generator.test_build import lint
from tests.templates import cuda_on_a_cpu
from tests.templates.conftest import write_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import (
    ALL_ATTENTION_FUNCTIONS,
    AttentionInterface,
)

PAGE = """
leangen: 1
name: {name}
model: {{checkpoint: ./{model}}}
data: {{source: text, path: text.txt}}
sparsity: {sparsity}
quantization: {{weights: {bits}{group}{cache}}}
target: {{hardware: h200, context: 128{batch}}}
serve: {{engine: torch}}
"""
TWO_OF_FOUR = "{pattern: '2:4', method: magnitude}"
WITHOUT_TWO = "{pattern: '2:4', method: magnitude, exempt: [0, v_proj]}"
ON_CPU = """

DEVICE = "cpu"


def require_gpu() -> None:
    pass


def peak_device_bytes() -> int:
    return 1
"""
STAND_INS = Path(__file__).with_name("kernels_in_torch.py").read_text()
CAUSAL = "torch.ones(len(tokens), end).bool().tril(end - len(tokens))"
REPLAYED = """    def record(self):
        return SimpleNamespace(replay=self.step)

    def recorded(self)"""
REPLAYED_ROWS = """    def record(self, rows):
        return SimpleNamespace(replay=lambda: self.launch(rows))

    def recorded(self, rows: int)"""
PROMPT = list(range(40, 70))
Modules = Callable[[Path], SimpleNamespace]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small random models, their head tied and not, in widths that no unit divides."""
    root = tmp_path_factory.mktemp("gpu")
    (root / "text.txt").write_text(Path(ctypes.__file__).read_text())
    for name, kind, fields in (
        ("tied", "llama", {"tie_word_embeddings": True}),
        ("untied", "llama", {"tie_word_embeddings": False}),
        ("qwen2", "qwen2", {"tie_word_embeddings": True}),
        ("qwen3", "qwen3", {"tie_word_embeddings": False, "head_dim": 48}),
    ):
        torch.manual_seed(0)
        config = transformers.AutoConfig.for_model(
            kind,
            vocab_size=323,
            hidden_size=160,
            intermediate_size=352,
            num_hidden_layers=2,
            num_attention_heads=10,
            num_key_value_heads=2,
            max_position_embeddings=128,
            initializer_range=0.1,
            dtype="bfloat16",
            **fields,
        )
        model = transformers.AutoModelForCausalLM.from_config(config).bfloat16()
        for part, learned in model.named_parameters():
            if part.endswith((".bias", "q_norm.weight", "k_norm.weight")):
                torch.nn.init.normal_(learned, float("norm" in part))
        model.save_pretrained(root / name)
        write_tokenizer(root / name)
    return root


def packed(
    models: Path, run_here: Callable[[Path, str], str], name: str, **page: Any
) -> Path:
    """Build a folder for a GPU, let it run without one, and export."""
    (models / f"{name}.yaml").write_text(
        PAGE.format(name=name, **{"batch": "", "cache": ""} | page)
    )
    folder = built(models / f"{name}.yaml")
    if not torch.cuda.is_available():
        without_gpu(folder)
    if page["sparsity"] != "{pattern: dense}":
        assert run_here(folder, "prune") == ""
    assert run_here(folder, "export") == ""
    return folder


def without_gpu(folder: Path) -> None:
    """Put stand-ins where a folder asks for a GPU, for its kernels and for torch's."""
    recording = [("    def record(self)", REPLAYED), (", pin_memory=True", "")]
    if (folder / "rows.py").exists():
        recording = [
            ("    def record(self, rows: int)", REPLAYED_ROWS),
            ("BLOCKS * multiprocessors()", "BLOCKS * 4"),
        ]
    changes = {
        "weights.py": [('GPU = "cuda"', 'GPU = "cpu"')],
        "decoder.py": [
            *recording,
            ("if not torch.cuda.is_available()", "if False"),
            ("if torch.cuda.get_device_capability() < (8, 0)", "if False"),
            ("\nimport json\n", "\nimport json\nfrom types import SimpleNamespace\n"),
            ("causal_lower_right(len(tokens), end)", CAUSAL),
        ],
        "instrument.py": [
            ('HIDDEN_DEVICE = "cuda"', 'HIDDEN_DEVICE = "cpu"'),
            ("torch.cuda.get_device_name()", "'no GPU'"),
        ],
    }
    for name, pairs in changes.items():
        script = (folder / name).read_text()
        for old, new in pairs:
            assert old in script, old
            script = script.replace(old, new)
        (folder / name).write_text(script)
    added = {"tensors": ON_CPU, "attention": STAND_INS, "products": STAND_INS}
    if (folder / "rows.py").exists():
        added["rows"] = STAND_INS
    for name, text in added.items():
        with (folder / f"{name}.py").open("a") as file:
            file.write(f"\n\n{text}")


def as_exported(folder: Path, ours: SimpleNamespace) -> Any:
    """Load the checkpoint before the export in transformers, its matrices rounded in float32."""
    source = "sparse" if (folder / "artifacts" / "sparse").exists() else "dense"
    weights = ours.checkpoint.open_checkpoint(source)
    model = transformers.AutoModelForCausalLM.from_pretrained(weights.folder)
    model = model.float().eval()
    for name, parameter in model.named_parameters():
        head = name == "lm_head.weight" or model.config.tie_word_embeddings
        if ours.architecture.is_pruned(name) or (head and parameter.dim() == 2):
            if hasattr(ours, "rounding"):
                middle = 2 ** (ours.rounding.bits_of(name) - 1)
                parts = [
                    ((levels - np.float32(middle)) * scales[..., None]).reshape(
                        len(levels), -1
                    )
                    for levels, scales in ours.rounding.rounded(weights, name)
                ]
                parameter.data = torch.from_numpy(np.concatenate(parts))
            else:
                parameter.data = parameter.data.bfloat16().float()
    return model


def rounded_heads(x: Any) -> Any:
    """Round to 255 integers by token and head, with a scale in bf16."""
    scale = (x.abs().amax(-1, keepdim=True) / 127).bfloat16().float()
    return torch.round(x / scale).clip(-127, 127) * scale


def attend_to_integers(
    module: Any, query: Any, key: Any, value: Any, *rest: Any, **more: Any
) -> Any:
    """Attend as transformers do, to rounded keys (they are rotated) and values."""
    attention = ALL_ATTENTION_FUNCTIONS["sdpa"]
    held = rounded_heads(key), rounded_heads(value)
    return attention(module, query, *held, *rest, **more)


AttentionInterface.register("integers-by-token", attend_to_integers)
AttentionMaskInterface.register("integers-by-token", sdpa_mask)
INTEGERS = ", kv_cache: 8"
CASES = [
    ("tied", 4, TWO_OF_FOUR, ""),
    ("tied", 8, "{pattern: dense}", ""),
    ("untied", 4, WITHOUT_TWO, ""),
    ("untied", 16, TWO_OF_FOUR, ""),
    ("tied", 16, "{pattern: dense}", ""),
    ("qwen2", 4, TWO_OF_FOUR, ""),
    ("qwen2", 16, "{pattern: dense}", ""),
    ("qwen3", 4, TWO_OF_FOUR, ""),
    ("qwen3", 16, "{pattern: dense}", ""),
    ("tied", 4, TWO_OF_FOUR, INTEGERS),
    ("untied", 16, "{pattern: dense}", INTEGERS),
    ("qwen2", 16, "{pattern: dense}", INTEGERS),
    ("qwen3", 4, TWO_OF_FOUR, INTEGERS),
]


@pytest.mark.parametrize(("model", "bits", "sparsity", "cache"), CASES)
def test_the_logits_are_transformers(
    model: str,
    bits: int,
    sparsity: str,
    cache: str,
    models: Path,
    modules: Modules,
    run_here: Callable[[Path, str], str],
) -> None:
    name = f"{model}-{bits}-{len(sparsity)}-{len(cache)}"
    group = ", group_size: 32" if bits < 16 else ""
    page = {"model": model, "bits": bits, "group": group, "sparsity": sparsity}
    page["cache"] = cache
    folder = packed(models, run_here, name, **page)
    ours = modules(folder)
    decoder = ours.decoder.Decoder()
    reference = as_exported(folder, ours)
    with torch.no_grad():
        made = reference(torch.tensor([PROMPT]), use_cache=True)
    floats = expected = made.logits[0].numpy()
    if cache:
        reference.set_attn_implementation("integers-by-token")
        with torch.no_grad():
            expected = reference(torch.tensor([PROMPT])).logits[0].numpy()
    at_once = decoder.forward(PROMPT, range(len(PROMPT)))
    decoder.length = 0
    one_by_one = np.concatenate([decoder.forward([t], [0]).copy() for t in PROMPT])
    for found, truth in itertools.product((at_once, one_by_one), (expected, floats)):
        off = np.linalg.norm(found - truth) / np.linalg.norm(truth)
        assert off < (0.03 if cache else 0.02)  # between levels either may be chosen
    if cache:
        first = made.past_key_values.layers[0]
        steps = decoder.scales[0, :, : len(PROMPT)].float().cpu().unbind(2)
        for levels, step, true in zip(
            (decoder.keys, decoder.values),
            steps,
            (first.keys, first.values),
            strict=True,
        ):
            kept = levels[0, :, : len(PROMPT)].cpu() * step[..., None]
            assert ((kept - true[0]).abs() <= 1.5 * step[..., None]).all()
    decoder.length = 20  # the server keeps what two prompts share
    again = decoder.forward(PROMPT[20:], [len(PROMPT) - 21])
    np.testing.assert_allclose(
        again[0], at_once[-1], atol=0.05 * np.abs(expected).max()
    )
    with pytest.raises(IndexError, match="128 tokens"):
        decoder.forward([40] * 99, [0])
    sparse = sparsity != "{pattern: dense}"
    assert any(layer.down.sparse for layer in decoder.layers) == sparse
    assert decoder.layers[0].down.sparse == (sparsity == TWO_OF_FOUR)
    held = json.loads((folder / "plan.json").read_text())["stages"]["serve"]["ledger"]
    kinds = "weights", "scales", "metadata", "embeddings", "norms"
    file = ours.checkpoint.Checkpoint(folder / "artifacts" / "packed", "")
    stored = sum(place.nbytes for place in file.places.values())
    assert sum(held.get(kind, 0) for kind in kinds) == stored  # to the byte
    room = [decoder.keys, decoder.values, *([decoder.scales] if cache else [])]
    assert held["kv_cache"] == sum(part.nbytes for part in room)


@pytest.mark.parametrize(
    ("model", "bits", "sparsity", "cache"),
    [CASES[i] for i in (0, 3, 6, 8, 9, 11, 12)],
)
def test_sequences_side_by_side_are_those_alone(
    model: str,
    bits: int,
    sparsity: str,
    cache: str,
    models: Path,
    modules: Modules,
    run_here: Callable[[Path, str], str],
) -> None:
    """The logits of all slots are transformers', whatever runs beside, in any number of rows."""
    page = {"model": model, "bits": bits, "sparsity": sparsity, "batch": ", batch: 40"}
    page["group"] = ", group_size: 32" if bits < 16 else ""
    page["cache"] = cache
    folder = packed(models, run_here, f"slots-{model}-{bits}-{len(cache)}", **page)
    ours = modules(folder)
    decoder = ours.decoder.Decoder()
    reference = as_exported(folder, ours)
    if cache:
        reference.set_attn_implementation("integers-by-token")
    random = np.random.default_rng(0)
    texts = [random.integers(0, 300, 30 + slot).tolist() for slot in range(40)]
    for slot, text in enumerate(texts):
        decoder.forward(text[:20], [0], slot)
    for count in (1, 3, 13, 26, 40):
        chosen = random.choice(40, count, replace=False).tolist()
        at = {slot: decoder.lengths[slot] for slot in chosen}
        found = decoder.step({slot: texts[slot][at[slot]] for slot in chosen}).cpu()
        for slot, logits in zip(chosen, found.numpy(), strict=True):
            with torch.no_grad():
                ids = torch.tensor([texts[slot][: at[slot] + 1]])
                expected = reference(ids).logits[0, -1].numpy()
            off = np.linalg.norm(logits - expected) / np.linalg.norm(expected)
            assert off < (0.045 if cache else 0.03)
            assert decoder.lengths[slot] == at[slot] + 1
    decoder.lengths[7] = 128
    with pytest.raises(IndexError, match="128 tokens"):
        decoder.step({3: 1, 7: 1})
    with pytest.raises(IndexError, match="128 tokens"):
        decoder.forward([1, 2], [0], 7)


def test_what_is_not_two_of_four_is_not_packed(
    models: Path, modules: Modules, run_here: Callable[[Path, str], str]
) -> None:
    page = {"model": "tied", "bits": 4, "group": ", group_size: 32"}
    folder = packed(models, run_here, "dense-after-all", sparsity=TWO_OF_FOUR, **page)
    ours = modules(folder)
    dense = ours.checkpoint.open_checkpoint("dense")
    sparse = ours.checkpoint.open_checkpoint("sparse")
    name = "model.layers.1.mlp.down_proj.weight"
    sparse.write(name, dense.raw(name))
    (folder / "artifacts" / "files.json").unlink()
    problem = run_here(folder, "export")
    assert "not in pattern 2:4" in problem
    assert "run prune.py again" in problem


@pytest.fixture(scope="module")
def sources(models: Path) -> Path:
    """A folder with all kernels and all of the layout."""
    return sources_of("tied", models)


def sources_of(model: str, models: Path, cache: str = "") -> Path:
    """Build the folder of a model in 4 bits and 2:4."""
    page = models / f"sources-{model}-{len(cache)}.yaml"
    page.write_text(
        PAGE.format(
            name=page.stem,
            model=model,
            bits=4,
            group="",
            cache=cache,
            sparsity=TWO_OF_FOUR,
            batch=", batch: 40" if model == "tied" else "",
        )
    )
    return built(page)


@pytest.mark.parametrize("cache", ["", INTEGERS])
@pytest.mark.parametrize("model", ["tied", "untied", "qwen2", "qwen3"])
def test_what_is_written_for_a_gpu_passes_the_linter(
    model: str, cache: str, models: Path
) -> None:
    lint(sources_of(model, models, cache))


@pytest.mark.skipif(not shutil.which("g++"), reason="there is no g++")
@pytest.mark.parametrize("cache", ["", INTEGERS])
@pytest.mark.parametrize("model", ["tied", "untied", "qwen2", "qwen3"])
def test_the_kernel_of_attention_computes_what_its_stand_in_does(
    model: str, cache: str, models: Path, modules: Modules, tmp_path: Path
) -> None:
    """At the first tokens, and around where a second block starts, and a second turn of each."""
    folder = shutil.copytree(sources_of(model, models, cache), tmp_path / "folder")
    stand_ins = f"{(folder / 'attention.py').read_text()}\n\n{STAND_INS}"
    (folder / "in_torch.py").write_text(stand_ins)
    ours = modules(folder)
    ours.attention.Kernel = lambda source, name, settings: cuda_on_a_cpu.compiled(
        ours.kernels.PRELUDE + source, name, settings, tmp_path
    )
    sizes = ours.architecture
    H, K, D = sizes.NUM_ATTENTION_HEADS, sizes.NUM_KEY_VALUE_HEADS, sizes.HEAD_DIM
    teams = 128 // 2 ** (D // 8 - 1).bit_length()
    batch = teams * ours.attention.BATCH  # keys that a block reads at once
    edges = [1, batch, 32 * batch]
    ends = sorted({0, 2, *(edge + more for edge in edges for more in (-1, 0, 1))})
    context, rows = ends[-1] + 1, len(ends) if model == "tied" else 1
    torch.manual_seed(0)
    shape = (rows, K, context, D) if model == "tied" else (K, context, D)
    held = [torch.randn(shape).bfloat16() for _ in range(2)]
    if cache:
        (keys, k_scales), (values, v_scales) = map(ours.attention.round_heads, held)
        held = [keys.char(), values.char(), torch.stack((k_scales, v_scales), -1)]
    learned = {
        "qwen2": [torch.randn((H + 2 * K) * D).bfloat16()],
        "qwen3": [1 + torch.randn(D).bfloat16() / 4 for _ in range(2)],
    }.get(model, [])
    angles = torch.outer(torch.arange(context), torch.rand(D // 2))
    angles = torch.cat((angles.cos(), angles.sin()), 1)
    kernels = [module.attend() for module in (ours.attention, ours.in_torch)]
    splits = ours.attention.SPLITS
    parts = torch.empty(rows * H * splits * (D + 2))
    ended = torch.zeros(rows * K, dtype=torch.int32)
    for some in [ends] if model == "tied" else [[end] for end in ends]:
        qkv = torch.randn(rows, (H + 2 * K) * D).bfloat16()
        where = [torch.tensor(some, dtype=torch.int32)]
        if model == "tied":  # each row has a slot, and one is nobody's
            where[0][1] = -1
            where.append(torch.randperm(rows).int())
        found = []
        for launch in kernels:
            own = [part.clone() for part in held]
            y = torch.zeros(rows, H * D).bfloat16()
            given = [qkv, angles, *where, *own, *learned, parts, ended, y, context]
            launch((rows * K, splits), 128, given)
            found.append([y, *own])
        (y, *kept), (expected, *as_kept) = found
        assert not ended.any()
        apart = (y.float() - expected.float()).norm(dim=1)
        assert (apart <= 0.01 * expected.float().norm(dim=1)).all()
        for part, as_part, before in zip(kept, as_kept, held, strict=True):
            off = (part.float() - as_part.float()).abs()
            step = 1 if part.dtype == torch.int8 else part.float().abs() / 128
            assert (off <= step).all()
            assert (off > 0).sum() <= 2
            changed = (part != before).flatten(1).any(1).sum()
            assert 0 < changed <= (K if rows == 1 else rows - 1)


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_warp_multiplies_what_is_packed(
    bits: int, sparse: bool, sources: Path, modules: Modules
) -> None:
    """Fragments lie in lanes and registers as the PTX manual draws them."""
    packing = modules(sources).packing
    random = np.random.default_rng(0)
    out, width, zero = 24, 192, 2 ** (bits - 1) if bits < 16 else 0
    levels = random.integers(1, 2 ** min(bits, 10), (out, width))
    x = random.integers(-9, 9, width)
    places = None
    if sparse:
        order = random.random((out, width // 4, 4)).argsort(2)
        levels = np.where((order < 2).reshape(out, width), levels, zero)
        words, places = packing.pack_sparse(levels, bits, zero)
    else:
        words = packing.pack(levels, bits, zero)
    y = multiplied(words, places, bits, np.pad(x, (0, 64)))
    assert (y[:out] == (levels - zero) @ x).all()


def multiplied(
    words: np.ndarray, places: np.ndarray | None, bits: int, x: np.ndarray
) -> np.ndarray:
    """Multiply a token as warps do: with mma.m16n8k16, or mma.sp.m16n8k32 and places."""
    tiles, units = words.shape[:2]
    words = words.swapaxes(3, 4).reshape(tiles, units, -1, 32)  # a word of each lane
    step, zero = (16 if places is None else 32), 2 ** (bits - 1) if bits < 16 else 0
    y = np.zeros(tiles * 16, np.int64)
    for tile, unit, s in np.ndindex(tiles, units, 128 // step):
        a, b = np.zeros((16, 16), np.int64), np.zeros(step, np.int64)
        for g, q in np.ndindex(8, 4):
            for register, second in np.ndindex(4, 2):
                word, at = {
                    4: (s, register + 4 * second),
                    8: (2 * s + register // 2, register % 2 * 2 + second),
                    16: (4 * s + register, second),
                }[bits]
                level = int(words[tile, unit, word, 4 * g + q]) >> at * bits
                row, column = g + register % 2 * 8, 2 * q + second + register // 2 * 8
                a[row, column] = (level & 2**bits - 1) - zero
            for register, second in np.ndindex(step // 8, 2):
                if places is None:
                    k = 32 * (s // 2) + 8 * q + s % 2 * 4 + 2 * register + second
                else:
                    k = 32 * s + q // 2 * 16 + 4 * register + q % 2 * 2 + second
                b[8 * register + 2 * q + second] = x[128 * unit + k]
        if places is not None:
            a = spread(a, places[tile, unit, :, s % 2], s // 2)
        y[16 * tile :][:16] += a @ b
    return y


def spread(a: np.ndarray, words: np.ndarray, selector: int) -> np.ndarray:
    """Put two of four where the metadata say: (16, 16) -> (16, 32)."""
    whole = np.zeros((16, 32), np.int64)
    for g, half, high, j, second in np.ndindex(8, 2, 2, 4, 2):
        word = int(words[4 * g + 2 * selector + half])
        place = word >> 16 * high + 4 * j + 2 * second & 3
        group = 4 * half + j
        whole[g + 8 * high, 4 * group + place] = a[g + 8 * high, 2 * group + second]
    return whole


@pytest.mark.parametrize("architecture", ["80", "86", "89", "90", "100", "120"])
@pytest.mark.parametrize("cache", ["", INTEGERS])
@pytest.mark.parametrize("model", ["tied", "qwen2", "qwen3"])
def test_the_kernels_compile(
    model: str, cache: str, architecture: str, models: Path
) -> None:
    compiler = pytest.importorskip("nvidia.cu13", reason="NVIDIA's compiler is missing")
    (library,) = Path(compiler.__path__[0]).glob("lib/libnvrtc.so.*")
    nvrtc, sources = ctypes.CDLL(str(library)), sources_of(model, models, cache)
    prelude, *products, attention = (
        source
        for name in ("kernels.py", "products.py", "attention.py")
        for source in re.findall(
            r' = r"""(.*?)"""', (sources / name).read_text(), re.DOTALL
        )
    )
    settings = "HEADS=32 KV_HEADS=8 HEAD_DIM=128 TEAM=16 THREADS=128 BATCH=4 SPLITS=32"
    settings += " EPSILON=1e-06f" if model == "qwen3" else ""
    settings += " LARGEST=127 TINY=1e-30f" if cache else ""
    compile_kernels(nvrtc, prelude + attention, architecture, settings)
    if model != "tied" or cache:  # whose products are those of all
        return
    for sparse, normed, how in np.ndindex(2, 2, 4):
        settings = "BITS=4 GROUP=32 WARPS=16 AHEAD=2 SLOT=1152 EPSILON=1e-5f TILES=4"
        settings += f" SPARSE={sparse} NORMED={normed} HOW={how}"
        compile_kernels(nvrtc, prelude + "".join(products), architecture, settings)
    rows, normalize = re.findall(
        r' = r"""(.*?)"""', (sources / "rows.py").read_text(), re.DOTALL
    )
    compile_kernels(nvrtc, prelude + normalize, architecture, "EPSILON=1e-6f")
    for sparse, columns, how in np.ndindex(2, 2, 4):
        settings = "BITS=4 GROUP=32 WARPS=8 AHEAD=4 SLOT=1152 DEPTH=4 TOGETHER=4"
        settings += f" SPARSE={sparse} COLUMNS={4 * columns or 1} HOW={how}"
        compile_kernels(nvrtc, prelude + products[0] + rows, architecture, settings)


def compile_kernels(nvrtc: Any, source: str, architecture: str, settings: str) -> None:
    """Compile with NVIDIA's library, and show what it says."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    code = source.encode()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), code, None, 0, None, None)
    options = [f"--gpu-architecture=sm_{architecture}"]
    options += [f"-D{setting}" for setting in settings.split()]
    given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = nvrtc.nvrtcCompileProgram(program, len(options), given)
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert not failed, log.value.decode()


def test_the_evaluation_takes_speed_and_texts_from_the_engine(
    models: Path, modules: Modules, run_here: Callable[[Path, str], str]
) -> None:
    page = {"model": "tied", "bits": 4, "group": ", group_size: 32"}
    page |= {"batch": ", batch: 3", "sparsity": TWO_OF_FOUR}
    folder = packed(models, run_here, "evaluated", **page)
    assert run_here(folder, "data") == ""
    assert run_here(folder, "evaluate") == ""
    report = json.loads((folder / "artifacts" / "report.json").read_text())
    exported = report["models"]["exported"]
    assert exported["decode_tokens_per_second"] > 0
    assert exported["decode_tokens_per_second_of_all"] > 0
    assert "3 at once" in (folder / "artifacts" / "report.md").read_text()
    assert exported["bytes"] == sum(
        file.stat().st_size
        for file in (folder / "artifacts" / "packed").glob("*.safetensors")
    )
    assert exported["zeros"] > 0.5  # rounding adds some
    assert {*report["samples"]} == {"dense", "exported"}
    assert "cache" not in report


def test_texts_side_by_side_are_the_models(
    models: Path, modules: Modules, run_here: Callable[[Path, str], str]
) -> None:
    """The most probable tokens of nine texts that share three slots, but for rounding."""
    page = {"model": "tied", "bits": 4, "group": ", group_size: 32"}
    page |= {"sparsity": TWO_OF_FOUR, "batch": ", batch: 3"}
    folder = packed(models, run_here, "batching", **page)
    ours = modules(folder)
    decoder = ours.decoder.Decoder()
    batch = ours.batching.Batch(decoder, frozenset())
    asked = [
        SimpleNamespace(
            prompt=[40 + i] * (1 + 5 * i),
            max_tokens=12,
            temperature=0,
            top_p=1,
            seed=None,
        )
        for i in range(9)
    ]
    with ThreadPoolExecutor(len(asked)) as threads:
        made = [*threads.map(lambda x: [*batch.generate(x, lambda: False)], asked)]
    reference = as_exported(folder, ours)
    for request, tokens in zip(asked, made, strict=True):
        with torch.no_grad():
            ids = torch.tensor([request.prompt + tokens])
            logits = reference(ids).logits[0, -1 - len(tokens) : -1]  # (12, V)
        best, scale = logits.amax(1), logits.abs().amax(1)
        said = logits.gather(1, torch.tensor(tokens)[:, None])[:, 0]
        assert (best - said < 0.03 * scale).all()


def test_the_evaluation_says_what_a_cache_of_8_bits_costs(
    models: Path, modules: Modules, run_here: Callable[[Path, str], str]
) -> None:
    """The exported model alone has keys and values rounded, and float_cache has not."""
    page = {"model": "qwen3", "bits": 16, "group": "", "sparsity": "{pattern: dense}"}
    folder = packed(models, run_here, "evaluated-8", cache=INTEGERS, **page)
    assert not (folder / "calibrate.py").exists()
    assert run_here(folder, "data") == ""
    assert run_here(folder, "evaluate") == ""
    report = json.loads((folder / "artifacts" / "report.json").read_text())
    found, cost = report["models"], report["cache"]
    assert found["exported"]["decode_tokens_per_second"] > 0
    assert {*report["samples"]} == {"dense", "exported"}
    assert {*found} == {"dense", "float_cache", "exported"}
    assert found["float_cache"]["bytes"] == found["exported"]["bytes"]
    whole, rounded = (
        found[n]["perplexity"]["test"] for n in ("float_cache", "exported")
    )
    assert cost["loss_difference"] == pytest.approx(float(np.log(rounded / whole)))
    assert 0 < abs(cost["loss_difference"]) < 0.01
    same = found["dense"]["perplexity"]["test"]
    assert abs(whole / same - 1) < abs(rounded / same - 1)
    ours = modules(folder)
    reference = as_exported(folder, ours)
    rows = ours.evaluate.sequences("test", report["context"] + 1)
    reference.set_attn_implementation("integers-by-token")
    with torch.no_grad():
        ids = torch.tensor(np.stack(rows).astype(np.int64))
        logits = reference(ids[:, :-1]).logits.flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(logits, ids[:, 1:].flatten())
    assert float(np.log(rounded)) == pytest.approx(float(loss), abs=1e-4)
