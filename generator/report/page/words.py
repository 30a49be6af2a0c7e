"""What a sweep's figures say, in sentences: nothing that they do not show."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from leangen.generator.report.page.axis import figure, in_bytes, percent
from leangen.generator.report.page.compare import (
    COLLAPSED,
    EQUAL,
    Curve,
    Difference,
    away,
    difference,
    faster,
    pairs,
)
from leangen.generator.report.page.compare import curves as curves_of
from leangen.generator.report.page.figures import DENSE, NM, STRUCTURED, Row, Sweep

MOVES = "the knee moves"
APART = {True: "", False: " (not distinguishable)", None: " (no range is known)"}
TIMES = "times the dense model's"


@dataclass(frozen=True)
class Paragraph:
    """A question, and what the sweep answers, a sentence a line."""

    question: str
    sentences: tuple[str, ...]


def paragraphs(sweep: Sweep) -> list[Paragraph]:
    """Answer each question for which the sweep has variants, the dense model first."""
    curves = curves_of(sweep)
    asked = [
        ("The dense model", _baseline(sweep)),
        ("What passes the gate?", _gate(sweep)),
        ("At equal bytes, which wins?", _equal(sweep)),
        ("Where does it collapse?", _collapses(curves)),
        ("Does recovery move the knee?", _recovery(curves)),
        ("Are pruned models more fragile off their home ground?", _fragile(sweep)),
        ("Does structured pruning buy speed for what it loses?", _speed(sweep)),
        ("What has no figures", _without(sweep)),
    ]
    answered = [Paragraph(question, tuple(found)) for question, found in asked]
    return [paragraph for paragraph in answered if paragraph.sentences]


def _baseline(sweep: Sweep) -> Iterator[str]:
    row = sweep.baseline
    if row is None:
        return
    said = [f"perplexity {figure(v)} on {t} text" for t, v in _texts(row)]
    for name, write in (("file_bytes", in_bytes), ("decode", figure)):
        value = row.value(name)
        if value is not None:
            said.append(f"{write(value)}{' tokens/s' if name == 'decode' else ''}")
    yield f"{row.name}: {', '.join(said)}." if said else f"{row.name}: no figures."
    if not sweep.paired:
        yield "What was swept changes the dense model itself: perplexities are set side by side, without an error."


def _texts(row: Row) -> Iterator[tuple[str, float]]:
    for text, words in (("test", "the test"), ("out_of_sample", "the out-of-sample")):
        value = row.value(f"perplexity_{text}")
        if value is not None:
            yield words, value


def _gate(sweep: Sweep) -> Iterator[str]:
    dense = sweep.baseline.value("perplexity_test") if sweep.baseline else None
    if sweep.gate is None or dense is None:
        return
    rows = [
        row for row in sweep.done if row.value("perplexity_test") and not row.baseline
    ]
    passing = [
        row for row in rows if (row.value("perplexity_test") or 0) <= sweep.gate * dense
    ]
    told = []
    for figure_, what, write, best in (
        ("file_bytes", "smallest", in_bytes, min),
        ("decode", "fastest", figure, max),
    ):
        known = [(value, row.name) for row in passing if (value := row.value(figure_))]
        if known:
            value, name = best(known)
            told.append(f"the {what} is {name} ({write(value)})")
    yield f"{'; '.join([f'{len(passing)} of {len(rows)} variants have at most {sweep.gate:g} {TIMES} perplexity', *told])}."


def _equal(sweep: Sweep) -> Iterator[str]:
    found = pairs(sweep)
    if not found:
        return
    wins = [pair.difference.nats < 0 for pair in found if pair.difference.sure]
    further = sum(
        pair.pruned.recovered and pair.difference.sure and pair.difference.nats < 0
        for pair in found
    )
    trained = f" ({further} of them after recovery: trained further)" if further else ""
    told = f"the pruned model wins {sum(wins)}{trained}, the dense one {len(wins) - sum(wins)}"
    rest = len(found) - len(wins)
    unsure = f", {rest} cannot be told apart" if rest else ""
    yield f"Of {_count(len(found), 'pair')} of sizes within {percent(EQUAL)}, {told}{unsure}."
    for pair in found:
        sizes = " and ".join(
            in_bytes(r.value("file_bytes") or 0) for r in (pair.pruned, pair.dense)
        )
        yield f"{_verdict(pair.pruned, pair.dense, pair.difference)} Sizes: {sizes}."
    yield "The pruned model of a pair is the best of its kind and size."


def _verdict(row: Row, beside: Row, lost: Difference) -> str:
    """Say which of two is better, or that it cannot be told."""
    if lost.margin is None:
        told = f"has {figure(lost.ratio)} times the perplexity of {beside.name}; no error is known"
        return f"{row.name} {told}."
    nats = f"{lost.nats:+.3f} ± {lost.margin:.3f} nats"
    if not lost.sure:
        return f"{row.name} and {beside.name} are not distinguishable ({nats})."
    word = "beats" if lost.nats < 0 else "loses against"
    return f"{row.name} {word} {beside.name} ({nats})."


def _collapses(curves: Sequence[Curve]) -> Iterator[str]:
    twins = _twins(curves)
    plain = [
        curve
        for curve in curves
        if curve.family != NM and not (curve.recovered and _way(curve) in twins)
    ]
    if not plain:
        return
    each = "; ".join(f"{_pruning(curve)}, {_where(curve)}" for curve in plain)
    yield f"Perplexity passes {COLLAPSED:g} {TIMES} of the same bits: {each}."
    for curve in curves:
        told = (
            f"{figure(lost.ratio)} {_at(curve, ratio, row)}"
            for ratio, row, lost in curve.points
        )
        yield f"{_pruning(curve)}, {_how(curve)}, in times of dense: {', '.join(told)}."


def _at(curve: Curve, ratio: float, row: Row) -> str:
    return f"for {row.pattern}" if curve.family == NM else f"at {percent(ratio)}"


def _where(curve: Curve) -> str:
    """Say between which ratios a curve passes the limit; where it is unsure is between them."""
    if curve.fails is None:
        last = curve.points[-1][0]
        sure = curve.holds == last
        return f"{'nowhere' if sure else 'nowhere surely'} up to {percent(last)}, the most that was tried"
    if curve.holds is None:
        return f"at {percent(curve.fails)} or before"
    return f"between {percent(curve.holds)} and {percent(curve.fails)}"


def _pruning(curve: Curve) -> str:
    bits = f"{curve.bits} bits" if curve.bits else ""
    return " ".join(filter(None, [curve.family, curve.method, bits]))


def _way(curve: Curve) -> tuple[str, str, int | None]:
    return curve.family, curve.method, curve.bits


def _twins(curves: Sequence[Curve]) -> dict[tuple[str, str, int | None], Curve]:
    """Give the curves without recovery, by what they share with those that have it."""
    return {_way(curve): curve for curve in curves if not curve.recovered}


def _how(curve: Curve) -> str:
    return "with recovery" if curve.recovered else "without recovery"


def _recovery(curves: Sequence[Curve]) -> Iterator[str]:
    found, twins = [], _twins(curves)
    for curve in curves:
        before = twins.get(_way(curve))
        if before and curve.recovered and curve.family != NM:
            found.append((before, curve, _moved(before, curve)))
    if found:
        moves = sum(told == MOVES for *_, told in found)
        yield f"In {moves} of {_count(len(found), 'curve')} it does."
    for before, curve, told in found:
        without = f"without recovery {_where(before)}"
        yield f"{_pruning(curve)}: {without}, with it {_where(curve)}: {told}."


def _moved(before: Curve, after: Curve) -> str:
    """Tell whether a knee moved: only if the old one lies wholly below what holds now."""
    if before.fails is None:
        return "no knee to move"
    if after.holds is not None and after.holds >= before.fails:
        return MOVES
    if after.fails == before.fails and after.holds == before.holds:
        return "the knee stays between the same ratios"
    return "whether the knee moves cannot be told from these ratios"


def _fragile(sweep: Sweep) -> Iterator[str]:
    dense = sweep.baseline
    here, there = (
        dense.value(f"perplexity_{t}") if dense else None
        for t in ("test", "out_of_sample")
    )
    if dense is None or not here or not there:
        return
    standing = [row for row in _standing(sweep, dense) if away(sweep, row)]
    if standing:
        yield (
            f"Out of sample dense has {figure(there / here)} times its perplexity on the test text. "
            f"Beside that, {_beside(sweep, standing, 'pruned and not collapsed')}"
        )
        rounded = [
            row for row in sweep.done if row.family == DENSE and not row.baseline
        ]
        if any(away(sweep, row) for row in rounded):
            yield f"For comparison, {_beside(sweep, rounded, 'only rounded')}"


def _beside(sweep: Sweep, rows: Sequence[Row], what: str) -> str:
    """Say how that ratio of some rows is beside the dense model's."""
    found = [(row, lost) for row in rows if (lost := away(sweep, row))]
    row, most = max(found, key=lambda each: each[1].nats)
    middle = figure(median(lost.ratio for _, lost in found))
    told = f"{middle} times dense's in the median, {figure(most.ratio)} at most ({row.name})."
    if any(lost.margin is None for _, lost in found):
        return f"{len(found)} {what}: {told}"
    larger = sum(lost.sure and lost.nats > 0 for _, lost in found)
    smaller = sum(lost.sure and lost.nats < 0 for _, lost in found)
    rest = len(found) - larger - smaller
    counts = f"larger in {larger}, smaller in {smaller}, not distinguishable in {rest}"
    return f"{len(found)} {what}: {counts}; {told}"


def _standing(sweep: Sweep, dense: Row) -> list[Row]:
    """List the pruned rows that have not collapsed at home."""
    pruned = [row for row in sweep.done if row.family != DENSE]
    return [
        row
        for row in pruned
        if (lost := difference(sweep, row, dense)) and lost.ratio <= COLLAPSED
    ]


def _speed(sweep: Sweep) -> Iterator[str]:
    found = []
    for row in sorted(_best(sweep), key=lambda row: (-(row.bits or 0), row.ratio)):
        dense = sweep.dense(row.bits)
        gained = faster(row, dense, "decode") if dense else None
        lost = difference(sweep, row, dense) if dense else None
        if dense and gained and lost:
            found.append((row, dense, gained, lost.ratio))
    if not found:
        return
    speeds, losses = ([e[2][0] for e in found], [e[3] for e in found])
    yield (
        f"Beside dense at the same bits they decode {_range(speeds)} times as fast, "
        f"for {_range(losses)} times its perplexity."
    )
    for row, dense, (speed, apart), loss in found:
        prefill = faster(row, dense, "prefill")
        more = f", prefill {figure(prefill[0])} times" if prefill else ""
        sure = APART[apart]
        yield f"{row.name}: decodes {figure(speed)} times as fast{sure}{more}, {figure(loss)} times the perplexity."


def _best(sweep: Sweep) -> list[Row]:
    """List the structured rows, of those of equal ratio and bits the one that lost least."""
    best: dict[tuple[float, int | None], Row] = {}
    for row in sweep.done:
        value = row.value("perplexity_test")
        if row.family == STRUCTURED and value is not None:
            known = best.get((row.ratio, row.bits))
            if known is None or value < (known.value("perplexity_test") or 0):
                best[row.ratio, row.bits] = row
    return list(best.values())


def _range(values: Sequence[float]) -> str:
    low, high = figure(min(values)), figure(max(values))
    return low if low == high else f"{low} to {high}"


def _without(sweep: Sweep) -> Iterator[str]:
    told = []
    for state in ("failed", "refused", "waiting"):
        rows = [row for row in sweep.rows if row.state == state]
        if rows:
            told.append(f"{len(rows)} {state} ({'; '.join(row.name for row in rows)})")
    if told:
        yield f"{', '.join(told)}."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
