"""One sentence beside the votes once they teach weights that a person could adopt, and how to."""

from __future__ import annotations

from core import learning
from core.rules.calibration import FEWEST_VOTES, Agreement, Calibration
from core.store import weightings
from dashboard.parts import sheet
from dashboard.parts.safe import Html, fill
from dashboard.reads import Reads

_State = tuple[int, str | None]  # clear votes, and the weights in force
_kept: dict[int, tuple[_State, Calibration | None]] = {}


def show(reads: Reads) -> None:
    """Put the proposal on the page; nothing while the votes bear none."""
    found = _proposed(reads)
    if found and found.learned and found.default:
        sheet.put(_sentence(found, found.learned, found.default))


def _sentence(found: Calibration, learned: Agreement, default: Agreement) -> Html:
    """Say what the learned weights would gain, and which command shows and adopts them."""
    return fill(
        '<p class="ew-quiet" data-part="proposal">All votes so far teach weights for the automatic '
        "score: with them it agrees with {learned} of {votes} clear votes, with the default ones "
        "with {default}. <code>epochwatch calibrate</code> shows them, <code>epochwatch calibrate "
        "--adopt</code> scores new runs with them.</p>",
        learned=f"{100 * learned.share:.0f} %",
        default=f"{100 * default.share:.0f} %",
        votes=found.decisive,
    )


def _proposed(reads: Reads) -> Calibration | None:
    """Return what could be adopted, worked out once for as many votes as there are.

    The page asks whenever anything changes, as a new image, and the fit takes a second.
    """
    state = (reads.ask(learning.clear_votes), reads.ask(weightings.in_force))
    kept = _kept.get(id(reads))
    if kept is None or kept[0] != state:
        found = reads.ask(learning.proposal) if state[0] >= FEWEST_VOTES else None
        kept = _kept[id(reads)] = (state, found)
    return kept[1]
