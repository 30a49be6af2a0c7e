"""Scripts run in the tests' process, and a folder that talks: a small random checkpoint, exported."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import built

CHATML = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""
SPECIAL = ["<|im_start|>", "<|im_end|>", "<s>", "</s>"]
PAGE = """
leangen: 1
name: talker
model: {checkpoint: ./model}
data: {source: python-manual}
quantization: {weights: 32}
target: {hardware: x86-2core, context: 512}
"""


def write_tokenizer(folder: Path) -> None:
    """Learn a byte-level BPE of 320 tokens, the special ones first."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        show_progress=False,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([Path(subprocess.__file__).read_text()], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(special))
    (folder / "generation_config.json").write_text('{"eos_token_id": [1, 3]}')
    (folder / "chat_template.jinja").write_text(CHATML)


@pytest.fixture
def run_here(
    modules: Callable[[Path], SimpleNamespace],
) -> Callable[[Path, str], str]:
    """Run a stage in this process, which has torch loaded; return the line that it stops with.

    That is "" where the stage comes to its end. To load torch takes most of a stage's time.
    """

    def run(folder: Path, stage: str) -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [f"{stage}.py"])
            patch.setattr(signal, "signal", lambda *_: None)
            patch.setenv("LEANGEN_LOCK", "held")  # as leangen run does: for each anew
            ours = modules(folder)
            try:
                ours.artifacts.run(vars(ours)[stage].main)
            except SystemExit as ended:
                assert "\n" not in str(ended.code)
                return str(ended.code)
        return ""

    return run


@pytest.fixture(scope="session")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that was trained on nothing: what it says makes no sense."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    root = tmp_path_factory.mktemp("talker")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        eos_token_id=3,
        bos_token_id=2,
        initializer_range=0.2,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(root / "model")
    write_tokenizer(root / "model")
    (root / "spec.yaml").write_text(PAGE)
    folder = built(root / "spec.yaml")
    for script in ("data.py", "export.py"):
        subprocess.run([sys.executable, script], cwd=folder, check=True)
    return folder
