"""Comparison summary in four sentences, for the terminal, the run and the page."""

from __future__ import annotations

from fer_mlops.evaluation.comparison import Comparison, PairedResult
from fer_mlops.evaluation.paired import Difference
from fer_mlops.metrics.bootstrap import LEAST_FOR_P, NUM_RESAMPLES


def answers_of(comparison: Comparison) -> dict[str, str]:
    """Returns the four questions and their answers, about the best model and the second."""
    second = comparison.matches[0]
    return {
        "Which": verdict_of(comparison),
        "By how much": how_much(comparison, second),
        "How sure": how_sure(comparison, second),
        "At what cost": what_cost(comparison),
    }


def verdict_of(comparison: Comparison) -> str:
    """Returns which model is best in one short sentence, without claims that may be chance."""
    best, second = comparison.best.name, comparison.matches[0]
    other, only = comparison.entries[second.other].name, second.pairing.mcnemar
    if only.only_a == only.only_b == 0:
        return f"No difference: {best} and {other} are right about the same faces"
    if all(match.is_clear for match in comparison.matches):
        return f"{best} is better than {'all others' if len(comparison.matches) > 1 else other}"
    if second.is_clear:
        return f"{best} is better than {other}, not clearly than all others"
    if not second.is_clear_in_accuracy:
        return f"No clear winner: {best} is ahead of {other}, but the lead may be chance"
    if second.pairing.accuracy.value > 0:
        return f"{best} is better than {other} in accuracy; its lead in macro-F1 may be chance"
    return f"{other} is better than {best} in accuracy; {best}'s lead in macro-F1 may be chance"


def how_much(comparison: Comparison, match: PairedResult) -> str:
    """Returns the lead of the best model over another, with intervals."""
    gap, right = match.pairing.macro_f1, match.pairing.accuracy
    other = comparison.entries[match.other]
    return (
        f"macro-F1 {gap.a:.3f} against {gap.b:.3f} of {other.name}: {gap.value:+.3f}, {_between(gap)}; "
        f"accuracy {right.value:+.3f}, {_between(right)}"
    )


def _between(gap: Difference) -> str:
    if gap.low != gap.low:
        return "no interval"
    return f"95% interval {gap.low:+.3f} to {gap.high:+.3f}"


def how_sure(comparison: Comparison, match: PairedResult) -> str:
    """Returns the certainty of the lead in macro-F1 and in accuracy, with a caution if data are few."""
    pairing, other = match.pairing, comparison.entries[match.other]
    only, units = pairing.mcnemar, comparison.units
    corrected = " corrected" if len(comparison.matches) > 1 and units.num >= LEAST_FOR_P else ""
    share = pairing.macro_f1.probability
    lead = (
        f"better than {other.name} in {percent(share)} of the resamples of {units.num} {units.noun} "
        f"({p_value(match.p_macro_f1)}{corrected})"
    )
    verdict = (
        f"{lead if share == share else 'unknown'}; right alone on {only.only_a} faces against "
        f"{only.only_b} (McNemar {p_value(match.p_accuracy)}{corrected})"
    )
    return f"{verdict}. {units.caution}".removesuffix(".") if units.caution else verdict


def what_cost(comparison: Comparison) -> str:
    """Returns the costs of the best model and the second."""
    best, other = comparison.best, comparison.entries[1]
    speeds = best.speed.milliseconds, other.speed.milliseconds
    pairs = [
        f"{speeds[0]:.1f} ms a face against {speeds[1]:.1f} of {other.name}",
        f"{megabytes(best.num_bytes)} on disk against {megabytes(other.num_bytes)}",
    ]
    if best.minutes == best.minutes and other.minutes == other.minutes:
        pairs.append(f"{best.minutes:.1f} minutes of training against {other.minutes:.1f}")
    return ", ".join(pairs)


def percent(share: float) -> str:
    """Returns a share of resamples as text; a dash if it is unknown.

    Shares of 0 and 1 are shown as "under" and "over", as the number of resamples limits the precision.
    """
    if share != share:
        return "–"
    if share in (0.0, 1.0):
        return f"{'under' if share == 0 else 'over'} {abs(share - 1 / NUM_RESAMPLES):.2%}"
    return f"{share:.2%}" if min(share, 1 - share) < 0.001 else f"{share:.1%}"


def p_value(p: float) -> str:
    """Returns a p-value as printed in papers, or the reason why there is none."""
    if p != p:
        return f"no p: fewer than {LEAST_FOR_P} people"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def megabytes(num: int) -> str:
    """Returns a size in bytes as megabytes."""
    return f"{num / 1e6:.1f} MB"
