"""Defaults that depend on other fields: filled values -> Spec."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from leangen.spec.catalogue.engines import Engine, engines
from leangen.spec.catalogue.given import Given, read_given
from leangen.spec.catalogue.hardware import CUSTOM, Hardware, custom, machines
from leangen.spec.catalogue.models import Config, presets
from leangen.spec.catalogue.on_gpu import lacks
from leangen.spec.catalogue.shape import shape_of
from leangen.spec.errors import LeangenError
from leangen.spec.spec import (
    Budget,
    Data,
    Evaluate,
    Export,
    Gates,
    Model,
    Quantization,
    Recover,
    Serve,
    Sparsity,
    Spec,
    Sweep,
    Target,
    Tokenizer,
    Train,
)

LONGEST = (
    2048  # tokens to train given weights on, at most: as Wanda and SparseGPT calibrate
)
PUBLISHED = 16  # bits of given weights, unless the spec asks for others
TUNING = 2e-5  # learning rate for given weights, likewise: TRL's SFTConfig has it, too
# Learning rate of a recovery by layers, of a matrix's root mean square: docs/decisions.md.
BY_LAYERS = 1e-2
BYTE_VOCABULARY = 257  # 256 byte values and a separator

HOME = "~"
NO_HOME = "~ is not expanded: it is another folder for each reader"
WHOLE_PATH = "write the whole path, or a relative one"

Values = Mapping[str, Any]


def given_in(written: Values, folder: Path, copy: Path | None) -> Given | None:
    """Read what a checkpoint says of itself, None where the spec names none.

    Where its folder is not there, a copy of its small files speaks for it. Raises
    LeangenError where its config.json cannot be read.
    """
    checkpoint = _section(written, "model").get("checkpoint")
    if checkpoint is None:
        return None
    if checkpoint.startswith(HOME):
        raise LeangenError.of(NO_HOME, remedy=WHOLE_PATH, code="path")
    place = folder / checkpoint
    if copy and not place.exists() and (copy / "config.json").exists():
        return read_given(copy)
    return read_given(place)


def with_model(filled: Values, written: Values, given: Given | None) -> dict[str, Any]:
    """Complete a model that is named by its preset, or by its checkpoint's config.json.

    Raises LeangenError where that cannot be planned.
    """
    named = _section(written, "model")
    origin = {name: named[name] for name in ("checkpoint", "preset") if name in named}
    if not origin:
        return dict(filled)
    preset: Config = presets().get(named.get("preset", ""), {})
    shape = given.config if given else {**preset, **named}
    trained = "tokens" in _section(written, "train")
    pretrained, tuned = given is not None or not trained, bool(given) and trained
    model = shape_of(shape) | origin | {"pretrained": pretrained, "tuned": tuned}
    completed = {**filled, "model": model}
    if pretrained:
        defaults: dict[str, Values] = {"quantization": {"weights": PUBLISHED}}
        if tuned:
            defaults["train"] = {"learning_rate": TUNING}
        completed |= {
            name: {**_section(filled, name), **own, **_section(written, name)}
            for name, own in defaults.items()
        }
    return completed


def _section(values: Values, name: str) -> dict[str, Any]:
    """Give a section's fields; none where something else stands in its place."""
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def machine(name: str, section: Values | None) -> Hardware | None:
    """Look hardware up by the name in a spec, None for a custom one without section."""
    if name != CUSTOM:
        return machines()[name]
    return custom(section) if section is not None else None


def serving(
    engine: str | None, device: str | None, place: Hardware, shape: Values
) -> tuple[str, str]:
    """Name the engine that serves and its device (cpu or cuda), from what is written of them.

    Unasked, that is what is built: torch on a GPU where it takes the card and the model,
    else onnxruntime on the CPU.
    """
    if device is None and engine is None:
        taken = place.kind == "cuda" and not any(lacks(place, shape))
        device = "cuda" if taken else "cpu"
    elif device is None:
        device = "cpu" if engine == "onnxruntime" else place.kind
    return engine or ("torch" if device == "cuda" else "onnxruntime"), device


def precision(place: Hardware, shape: Values) -> str:
    """Name the arithmetic of training unasked: bf16 on a GPU that has it.

    Given weights are measured in it as well: what others are compared with keeps float32.
    """
    able = place.kind == "cuda" and place.has_bf16
    return "bf16" if able and not shape.get("pretrained") else "float32"


def engine_row(engine: str, device: str) -> Engine | None:
    """Look an engine up on a device, None where it does not run there."""
    return engines().get(f"{engine}-{device}")


def spec_of(filled: Values, written: Values, given: Given | None) -> Spec:
    """Build the dataclasses from valid values, with the defaults that depend."""
    target, serve, section = (
        filled["target"],
        filled["serve"],
        filled.get("custom_hardware"),
    )
    server = machine(target["hardware"], section)
    trainer = machine(filled["train"].get("hardware", target["hardware"]), section)
    assert server and trainer, "a rule refuses custom without its section"
    name, device = serving(
        serve.get("engine"), serve.get("device"), server, filled["model"]
    )
    engine = engine_row(name, device)
    assert engine, "a rule refuses an engine where it does not run"
    train = {"precision": precision(trainer, filled["model"])} | filled["train"]
    model, tokenizer = _model(filled, written, given)
    data = filled["data"]
    return Spec(
        name=filled["name"],
        model=model,
        tokenizer=tokenizer,
        data=Data(
            source=data["source"],
            path=tuple(data.get("path", ())),
            field=data["field"],
            calibration=tuple(data.get("calibration", ())),
            test=tuple(data.get("test", ())),
            out_of_sample=tuple(data.get("out_of_sample", ())),
        ),
        train=Train(**train | {"hardware": trainer}),
        sparsity=_sparsity(filled["sparsity"], _section(written, "sparsity")),
        quantization=_quantization(filled["quantization"], engine),
        export=Export(formats=tuple(filled["export"].get("formats", ()))),
        target=_target(target, server),
        serve=Serve(**serve | {"engine": name, "device": device}),
        evaluate=Evaluate(**filled["evaluate"]),
        gates=Gates(perplexity_ratio=filled["gates"].get("perplexity_ratio")),
        budget=tuple(
            Budget(stage, limits.get("max_packages"), limits.get("max_megabytes"))
            for stage, limits in filled["budget"].items()
        ),
        sweep=_sweep(filled["sweep"]),
        ejected=tuple(filled.get("ejected", ())),
        templates=filled.get("templates"),
        engine=engine,
        written=written,
        given=given,
    )


def _target(values: Values, hardware: Hardware) -> Target:
    """Build the target; a budget is at most what the driver and the system leave."""
    usable = hardware.usable_bytes
    return Target(
        hardware=hardware,
        vram_budget=min(values.get("vram_budget", usable), usable),
        budget_given="vram_budget" in values,
        context=values["context"],
        batch=values["batch"],
    )


def _model(
    filled: Values, written: Values, given: Given | None
) -> tuple[Model, Tokenizer]:
    """Build the model and its tokenizer: they share the size of the vocabulary."""
    shape = dict(filled["model"])
    published = shape.pop("vocab_size", None)
    if given:
        tokenizer = Tokenizer("checkpoint", published, given.ends)
    elif "preset" in shape and "tokenizer" not in written:
        tokenizer = Tokenizer("bpe", published)
    else:
        tokenizer = _tokenizer(filled["tokenizer"])
    heads = shape["num_attention_heads"]
    shape.setdefault("num_key_value_heads", heads)
    shape.setdefault("head_dim", shape["hidden_size"] // heads)
    return Model(vocab_size=tokenizer.vocab_size, **shape), tokenizer


def _tokenizer(value: str | dict[str, int]) -> Tokenizer:
    if isinstance(value, str):
        return Tokenizer(kind=value, vocab_size=BYTE_VOCABULARY)
    return Tokenizer(kind="bpe", vocab_size=value["bpe"])


def _quantization(values: Values, engine: Engine) -> Quantization:
    """Build the quantization; the cache is what the engine holds unasked."""
    exceptions = values.get("exceptions", {})
    numbered = {int(bits): tuple(listed) for bits, listed in exceptions.items()}
    cache = {"kv_cache": engine.kv_cache[0]}
    return Quantization(**cache | dict(values) | {"exceptions": numbered})


def _sweep(values: Values) -> Sweep:
    return Sweep(
        over=tuple(values.get("over", ())),
        without=tuple(values.get("without", ())),
        repeat=values["repeat"],
    )


def _sparsity(values: Values, written: Values) -> Sparsity:
    return Sparsity(
        pattern=values["pattern"],
        ratio=values.get("ratio"),
        heads=values.get("heads"),
        layers=values.get("layers"),
        method=values["method"],
        steps=values["steps"],
        exempt=tuple(values.get("exempt", ())),
        calibration_sequences=values["calibration_sequences"],
        recover=_recover(values.get("recover"), _section(written, "recover")),
    )


def _recover(values: Values | None, written: Values) -> Recover | None:
    """Build the recovery, where there is one; one by layers has a learning rate of its own."""
    if values is None:
        return None
    recover = Recover(**values)
    if recover.by_layers and "learning_rate" not in written:
        return replace(recover, learning_rate=BY_LAYERS)
    return recover
