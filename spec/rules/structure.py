"""Rules on which fields go with a structured pruning, and which models it takes."""

from leangen.spec.rules.rule import Problem, idle, rule

PATTERN = "sparsity.pattern"
RATIO, HEADS, LAYERS = "sparsity.ratio", "sparsity.heads", "sparsity.layers"
DELETE = "delete it, or write pattern: structured"
Share = float | None


@rule(PATTERN, written=HEADS)
def zeros_leave_heads(pattern: str, heads: Share) -> Problem | None:
    """A head of zeros is still a head."""
    if pattern == "structured" or heads is None:
        return None
    return idle(HEADS, f"pattern: {pattern}", DELETE)


@rule(PATTERN, written=LAYERS)
def zeros_leave_layers(pattern: str, layers: Share) -> Problem | None:
    """A layer of zeros is still a layer."""
    if pattern == "structured" or layers is None:
        return None
    return idle(LAYERS, f"pattern: {pattern}", DELETE)


@rule(PATTERN, RATIO, HEADS, LAYERS)
def structured_has_a_share(pattern: str, *shares: Share) -> Problem | None:
    """Something goes."""
    if pattern != "structured" or any(share is not None for share in shares):
        return None
    remedy = "add ratio, heads or layers: the share that goes, such as ratio: 0.25"
    return Problem(PATTERN, "structured needs a share", suggestion=remedy)


@rule(PATTERN, "model.pretrained", "model.tuned")
def structured_prunes_given_weights(
    pattern: str, given: bool | None, tuned: bool | None
) -> Problem | None:
    """Whoever trains has one shape to train, and prunes the checkpoint that comes of it."""
    if pattern != "structured" or (given and not tuned):
        return None
    message = "structured prunes a given checkpoint, which is not trained here"
    remedy = "train it in a spec of its own, and name its folder in model.checkpoint"
    return Problem(PATTERN, message, suggestion=remedy)


@rule(PATTERN, "model.num_experts")
def experts_stay_whole(pattern: str, experts: int | None) -> Problem | None:
    """Which channels of an expert go would be each expert's own question."""
    if pattern != "structured" or not experts:
        return None
    message = f"structured pruning has no way yet for {experts} experts a layer"
    return Problem(PATTERN, message, suggestion="write pattern: unstructured, or N:M")


@rule(PATTERN, written="sparsity.method")
def structured_has_its_method(pattern: str, method: str | None) -> Problem | None:
    """Weights are scored where some become zero."""
    if pattern != "structured" or method is None:
        return None
    return idle("sparsity.method", "pattern: structured", "delete it")


@rule(PATTERN, written="sparsity.exempt")
def structured_exempts_nothing(pattern: str, exempt: object) -> Problem | None:
    """A config.json has one width for all layers."""
    if pattern != "structured" or exempt is None:
        return None
    return idle("sparsity.exempt", "pattern: structured", "delete it")


@rule(PATTERN, LAYERS, "model.partial_window")
def windows_stay_where_they_are(
    pattern: str, layers: Share, window: int | None
) -> Problem | None:
    """Which layers have a window goes by their number."""
    if pattern != "structured" or layers is None or not window:
        return None
    message = f"some layers have a sliding window of {window}, others none"
    return Problem(LAYERS, message, suggestion="delete it, and use ratio or heads")


RULES = (
    zeros_leave_heads,
    zeros_leave_layers,
    structured_has_a_share,
    structured_prunes_given_weights,
    experts_stay_whole,
    structured_has_its_method,
    structured_exempts_nothing,
    windows_stay_where_they_are,
)
