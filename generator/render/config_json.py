"""config.json of a given checkpoint, in the words of every transformers that may read it."""

from dataclasses import asdict
from typing import Any

from leangen.spec import Spec


def for_all(spec: Spec) -> dict[str, Any]:
    """Say what transformers 4 and 5 each look for under a name of its own.

    transformers 4 reads a folder that 5 wrote without complaint, and takes defaults for
    the base of the rotation, its scaling and the number of experts.
    """
    model = spec.model
    scaling = asdict(model.rope_scaling) if model.rope_scaling else None
    rope = scaling or {"rope_type": "default"}
    words: dict[str, Any] = {
        "dtype": model.dtype,
        "torch_dtype": model.dtype,
        "rope_theta": model.rope_theta,
        "rope_scaling": scaling,
        "rope_parameters": rope | {"rope_theta": model.rope_theta},
    }
    if model.num_experts:
        words["num_experts"] = words["num_local_experts"] = model.num_experts
    return dict(spec.given.config if spec.given else {}) | words
