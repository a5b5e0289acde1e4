"""The view to try models out: one prompt, up to four of them side by side, to look at and keep."""

from __future__ import annotations

import re

import streamlit as st

from core.errors import EpochwatchError
from core.reports.sample_settings import sample_settings, with_settings
from core.rules.trying import LONGEST, MOST_SLOTS
from core.store import comparisons, gallery, promotions, tries
from core.store.comparisons import Comparison, SlotPicture
from core.store.tries import Try
from core.trials import recipe_of
from dashboard import accounts, images, writes
from dashboard.link import Away
from dashboard.parts import beat, links, outage, remember, safe, sheet, trying, wall, who
from dashboard.reads import Reads, shared_reads

_NOTHING = "nothing"
_RUN = "try-run"  # whose models are tried
_LARGEST_SEED = 2**53 - 1  # what a browser can count to


@st.fragment(run_every="5s")
@outage.guarded
def machines() -> None:
    """Say when nothing can be drawn now; looks by itself, since silence makes no noise."""
    reads, run_id = shared_reads(), st.session_state.get(_RUN)
    if run_id is None or outage.state(reads) == "away":
        return
    facts = reads.ask(gallery.run, run_id) or {}
    if said := trying.hindrance(reads.ask_anew(gallery.hosts), facts.get("base_sha256")):
        sheet.put(sheet.notice(said))


@st.fragment
@outage.guarded
def asking() -> None:
    """Let a person ask for pictures."""
    if said := accounts.hindrance("admin"):
        sheet.put(sheet.note(said))
        return
    reads = shared_reads()
    runs = [run for run in reads.ask(gallery.runs) if run.checkpoints]
    if not runs:
        sheet.put(
            sheet.empty(
                "There is no model to try yet. Start the daemon where the trainer saves:",
                (("epochwatch watch PATH", "watch the folder that your trainer saves into"),),
            )
        )
        return
    by_id = {run.id: run for run in runs}
    live = reads.ask(promotions.current)
    first = live.run_id if live is not None and live.run_id in by_id else runs[0].id
    run_id = st.selectbox(
        "Run",
        list(by_id),
        index=list(by_id).index(first),
        format_func=lambda at: safe.plain(by_id[at].run_name),
        key=_RUN,
    )
    facts = reads.ask(gallery.run, run_id) or {}
    try:
        recipe, _ = reads.ask(recipe_of, run_id)
    except Away:
        raise
    except EpochwatchError as trouble:
        sheet.put(sheet.empty(str(trouble)))
        return
    _form(reads, run_id, facts.get("best_epoch"), negative=recipe.negative)


def _form(reads: Reads, run_id: int, pick: int | None, *, negative: str) -> None:
    options = _options(reads, run_id, pick)
    with st.form(f"try-{run_id}", border=False):
        prompt = st.text_area("Prompt", max_chars=LONGEST, height=90, key="try-prompt")
        against = st.text_input(
            "Negative prompt", value=negative, max_chars=LONGEST, key=f"try-negative-{run_id}"
        )
        chosen = []
        for place, column in enumerate(st.columns(MOST_SLOTS)):
            slot = column.selectbox(
                f"Model {place + 1}",
                options,
                index=1 if place == 0 else 0,
                format_func=lambda at: options[at],
                key=f"try-slot-{place}-{run_id}",
            )
            strength = column.number_input(
                "at strength", 0.05, 2.0, 1.0, 0.05, key=f"try-strength-{place}-{run_id}"
            )
            chosen.append((slot, strength))
        left, right = st.columns(2)
        seed = left.number_input("Seed", 0, _LARGEST_SEED, 42, 1, key="try-seed")
        judge = who.box(key="judge-try", place=right)
        if st.form_submit_button("Draw", type="primary"):
            slots = [
                slot if slot == "base" else f"{slot}@{strength:.2f}"
                for slot, strength in chosen
                if slot != _NOTHING
            ]
            _ask(run_id, slots, prompt, against, int(seed), judge.strip())


def _options(reads: Reads, run_id: int, pick: int | None) -> dict[str, str]:
    """Return the models to choose from: as slots are written, and as a person calls them."""
    found = {_NOTHING: "\u2013"}
    live = reads.ask(promotions.current)
    if live is not None:
        found["production"] = safe.plain(f"production ({live.run_name} {live.position})")
    if pick is not None:
        found["pick"] = f"pick ({pick})"
    lines = [line for line in reads.ask(gallery.checkpoints, run_id) if not line.superseded]
    places = [line.position for line in lines if line.position is not None]
    found |= {str(place): str(place) for place in places}
    return found | {"base": "base model alone"}


def _ask(run_id: int, slots: list[str], prompt: str, negative: str, seed: int, judge: str) -> None:
    try:
        made = writes.try_out(
            run_id,
            slots,
            prompt=prompt,
            negative=negative,
            seed=seed,
            by_whom=judge or "somebody",
        )
    except EpochwatchError as trouble:
        outage.say_why(trouble, "Not asked for")
    else:
        st.query_params["try"] = str(made)
        st.rerun()


@st.fragment(key="try-sheet")
@outage.guarded
def looking() -> None:
    """Show one try, the newest first; reruns by itself whenever something has changed."""
    reads = shared_reads()
    beat.listen(outage.state(reads), key="try-beat")
    known = reads.ask(tries.tries)
    asked = links.number(st.query_params.get("try", ""))
    shown = reads.ask(tries.one, asked) if asked is not None else None
    shown = shown or (known[0] if known else None)
    if shown is None:
        sheet.put(sheet.empty("Nothing was tried yet: the pictures appear here."))
        return
    _result(reads, shown)
    _history(known, shown)


def _result(reads: Reads, shown: Try) -> None:
    sheet.put(sheet.heading("Pictures", f"asked for by {shown.by_whom}"))
    sheet.put(trying.described(shown.body))
    sheet.put(sheet.state(trying.progress(shown)))
    made = reads.ask(comparisons.comparison, shown.id)
    if made is None:
        return
    pictures = made.units[0].pictures if made.units else {}
    for slot, column in zip(made.slots, st.columns(max(2, len(made.slots))), strict=False):
        picture = pictures.get(slot.key)
        with column:
            wall.show(
                trying.figure(shown.run_id, slot, picture), key=f"try-{shown.id}-{slot.key[:12]}"
            )
            if picture is not None and picture.image_sha256 is not None:
                _download(made, shown, slot.key, picture)


def _download(made: Comparison, shown: Try, key: str, picture: SlotPicture) -> None:
    """Offer the picture with its settings inside, as far as the store has it."""
    png = images.stored(picture.image_sha256 or "")
    slot = next(each for each in made.slots if each.key == key)
    if png is None:
        st.caption("The image store does not have it.")
        return
    settings = sample_settings(
        label=slot.label,
        prompt=shown.body["prompt"],
        seed=shown.body["seed"],
        recipe=shown.body["recipe"],
        stack=slot.stack.as_json(),
        sample_id=picture.sample_id,
    )
    name = re.sub(r"[^A-Za-z0-9]+", "-", slot.label).strip("-")[:60]
    st.download_button(
        "Download with its settings",
        with_settings(png, settings),
        file_name=f"try-{shown.id}-{name}-seed-{shown.body['seed']}.png",
        mime="image/png",
        key=f"keep-{shown.id}-{key[:12]}",
        on_click="ignore",
    )


def _history(known: tuple[Try, ...], shown: Try) -> None:
    by_id = {each.id: each for each in (*known, shown)}
    if len(by_id) < 2:
        return
    key = f"earlier-{shown.id}"
    st.selectbox(
        "Earlier tries",
        list(by_id),
        index=list(by_id).index(shown.id),
        format_func=lambda at: safe.plain(f"{at}  {by_id[at].body['title']}"),
        key=key,
        on_change=remember.chosen,
        args=("try", key),
    )


outage.line()
asking()
machines()
looking()
