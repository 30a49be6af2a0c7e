"""What lies beside the weights of a given checkpoint: copies that are reviewed and hashed.

A machine without the weights reads them in place of the checkpoint's own files, as if the
generated folder were it.
"""

import json
from dataclasses import asdict
from typing import Any

from leangen.spec import Spec
from leangen.spec.catalogue.given import END


def given_files(spec: Spec) -> dict[str, str]:
    """Write all that a spec takes from its checkpoint's folder: name -> text."""
    given = spec.given
    if given is None:
        return {}
    ends = list(given.ends)
    end = ends[0] if len(ends) == 1 else ends or None
    files = {"config.json": _json(for_all(spec) | {END: end})}
    if given.chat_template is not None:
        files["chat_template.jinja"] = given.chat_template
        files["tokenizer_config.json"] = _json(dict(given.special))
    return files


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"


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
