"""Rules on where a model comes from: a checkpoint, a preset, or a widths."""

from leangen.spec.rules import widths
from leangen.spec.rules.rule import Problem, idle, rule

PUBLISHED = (*widths.FIELDS[1:], "tokenizer")  # what a published model has of its own


@rule("model.checkpoint", "model.preset")
def one_model(checkpoint: str | None, preset: str | None) -> Problem | None:
    """A model has one origin."""
    if checkpoint is None or preset is None:
        return None
    return Problem(
        "model.preset", "there is a checkpoint, too", suggestion="delete one of them"
    )


@rule("model.checkpoint", written=widths.FIELDS)
def a_checkpoint_has_its_shape(checkpoint: str | None, *own: object) -> Problem | None:
    """config.json says what the model is."""
    name = _first_written(widths.FIELDS, own)
    if checkpoint is None or name is None:
        return None
    return idle(name, "a checkpoint", "delete the shape, or the checkpoint")


@rule("model.preset", written="model.architecture")
def a_preset_has_its_architecture(
    preset: str | None, own: str | None
) -> Problem | None:
    """A preset is of a family already."""
    if preset is None or own is None:
        return None
    return idle("model.architecture", "a preset", "delete it")


@rule("model.preset", "model.pretrained", written=PUBLISHED)
def a_published_model_has_its_shape(
    preset: str | None, given: bool | None, *own: object
) -> Problem | None:
    """What was published is as it is; what is trained here need not be."""
    path = _first_written(PUBLISHED, own)
    if preset is None or not given or path is None:
        return None
    remedy = "delete it, or add train.tokens to train such a model from scratch"
    return idle(path, f"the published {preset}", remedy)


@rule("model.checkpoint", written="tokenizer")
def a_checkpoint_has_its_tokenizer(
    checkpoint: str | None, tokenizer: object
) -> Problem | None:
    """A checkpoint's tokens are those that it was trained on."""
    if checkpoint is None or tokenizer is None:
        return None
    return idle("tokenizer", "a checkpoint, which has its own", "delete it")


def _first_written(paths: tuple[str, ...], own: tuple[object, ...]) -> str | None:
    """Name the first of some fields that the author wrote, whatever it says."""
    given = (path for path, value in zip(paths, own, strict=True) if value is not None)
    return next(given, None)


RULES = (
    one_model,
    a_checkpoint_has_its_shape,
    a_preset_has_its_architecture,
    a_published_model_has_its_shape,
    a_checkpoint_has_its_tokenizer,
)
