"""Voting as people do it: from the keyboard, in two tabs, over a bad line, and blind."""

from __future__ import annotations

import io
import json
import re
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest

from core.rules.ballots import as_votes
from core.rules.judges import judge_checks
from core.store import guest_links, voting
from core.store.database import Database
from core.store.files import open_store
from dashboard.access import read_key, sign
from seeded_comparison import Made, compare
from served_dashboard import (
    CHROMIUM,
    PATIENCE_MS,
    complaints,
    dashboard,
    real_browser,
    see,
    settled,
    write,
)
from throwaway_postgres import ThrowawayServer, throwaway_server

sync_api = pytest.importorskip("playwright.sync_api")
LOOK_MS = 270  # a little over the quarter of a second in which a new pair takes no answer
SEEN_MS = 810  # a little over the time below which a judge is said to be too fast to look
SERVINGS = 200
SHOWN = 228  # golds show one slot twice and are left out
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium here"),
]


@dataclass(frozen=True, kw_only=True)
class House:
    """Everything that runs for these tests."""

    postgres: ThrowawayServer
    database: Database
    home: Path
    url: str
    log: Path
    pair: Made  # base against epoch 7, 64 prompts and seeds
    four: Made
    half: Made

    def session(self, made: Made, judge: str) -> voting.Session:
        """Return a judge's open sitting."""
        with self.database.transaction() as connection:
            return voting.begin(connection, made.id, judge, "local")

    def votes(self, made: Made, judge: str) -> list[voting.Serving]:
        """Return what a judge was shown, in order."""
        with self.database.transaction() as connection:
            found = voting.served(connection, made.id)
        return [each for each in found if each.judge == judge]

    def answers(self, made: Made, judge: str) -> list[dict[str, Any]]:
        """Return every answer that a judge ever gave."""
        shown = {each.id for each in self.votes(made, judge)}
        with self.database.transaction() as connection:
            found = voting.revisions(connection, made.id)
        return [each for each in found if each["serving_id"] in shown]

    def address(self, session: voting.Session) -> str:
        """Return where a sitting goes on."""
        mark = sign(read_key(self.home), f"ballot {session.id}")
        return f"{self.url}/vote?id={session.comparison}&sitting={session.id}-{mark}"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A database with three comparisons and a dashboard that shows it."""
    home = tmp_path_factory.mktemp("home")
    with throwaway_server() as postgres:
        store = open_store(home / "store")
        with psycopg.connect(postgres.dsn) as connection:
            pair = compare(connection, store, units=64)
            labels = ("base", "epoch 5", "epoch 7", "epoch 9")
            four = compare(connection, store, labels, units=5, title="four")
            half = compare(connection, store, units=10, drawn=2, title="half")
        with (
            Database(postgres.dsn, wait_seconds=PATIENCE_MS / 1000) as database,
            dashboard(home, postgres.dsn) as (url, log),
        ):
            yield House(
                postgres=postgres,
                database=database,
                home=home,
                url=url,
                log=log,
                pair=pair,
                four=four,
                half=half,
            )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser."""
    with real_browser() as chromium:
        yield chromium


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that notes every error."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    tab = context.new_page()
    tab.errors = []
    tab.on("pageerror", lambda error: tab.errors.append(str(error)))
    yield tab
    assert tab.errors == []
    context.close()


def shown(tab: Any, after: str = "") -> str:
    """Wait until another pair is shown and return its serving."""
    found = tab.wait_for_function(
        "before => { const now = document.querySelector('.ewb')?.dataset.shown;"
        " return now !== before && now; }",
        arg=after,
    )
    return str(found.json_value())


def judge(name: str) -> str:
    """Return the name of a judge who has never voted here."""
    return f"{name} {uuid4().hex[:8]}"


def press(tab: Any, keys: str, times: int) -> str:
    """Answer so many pairs by these keys in turn, and return the serving that is shown then."""
    now = shown(tab)
    for number in range(times):
        tab.wait_for_timeout(LOOK_MS)
        tab.keyboard.press(
            {"<": "ArrowLeft", ">": "ArrowRight"}.get(keys[number % len(keys)], keys)
        )
        now = shown(tab, now)
    return now


def settle(tab: Any) -> None:
    """Wait until every answer was acknowledged."""
    tab.wait_for_function(
        "() => Object.keys(localStorage).every(key => !key.startsWith('ew-ballot'))"
    )


def prefetched(tab: Any, address: str) -> str:
    """Open a desk, wait until every picture on it is in the browser, and return what is shown."""
    fetched: set[str] = set()
    tab.on("requestfinished", lambda request: fetched.add(urllib.parse.urlsplit(request.url).path))
    with tab.expect_response(lambda answer: answer.url.endswith("/vote/next")) as told:
        tab.goto(address)
    servings = told.value.json()["desk"]["servings"]
    wanted = {each for one in servings for each in (*one["pictures"], *one["small"])}
    assert len(servings) > 1
    while not wanted <= fetched:
        tab.wait_for_timeout(50)
    return shown(tab)


@pytest.mark.story
def test_sixty_blind_votes_from_the_keyboard_take_less_than_two_minutes(
    page: Any, house: House
) -> None:
    """Name, sixty keys, each after a look that nobody calls too short, and the result follows."""
    mara = judge("Mara")
    page.goto(f"{house.url}/vote?id={house.pair.id}")
    write(page.get_by_label("Your name"), mara)
    page.get_by_role("button", name="Vote", exact=True).click()
    now = shown(page)
    marks = [time.monotonic()]
    for number in range(60):
        page.wait_for_timeout(SEEN_MS)
        page.keyboard.press(("ArrowLeft", "ArrowRight", "ArrowLeft", " ", "b")[number % 5])
        now = shown(page, now)
        marks.append(time.monotonic())
    settle(page)
    answers = house.answers(house.pair, mara)
    # By the middle one: a machine that pauses now and then says nothing about voting.
    seconds = 60 * float(np.median(np.diff(marks)))
    print(f"60 votes: {seconds:.1f} s with {SEEN_MS} ms to look at each")
    assert seconds < 120
    assert len(answers) == 60
    assert Counter(each["choice"] for each in answers) == {
        "left": 24,
        "right": 12,
        "tie": 12,
        "both_bad": 12,
    }
    assert all(each["milliseconds"] >= 800 for each in answers)
    (checked,) = judge_checks(as_votes(house.votes(house.pair, mara)))
    assert not [flag for flag in checked.flags if "too fast" in flag]
    page.get_by_role("button", name="End and see which was which").first.click()
    see(page, "[data-part=poll] >> text=epoch 7")
    settled(page)
    page.get_by_role("tab", name="Judges").click()
    line = page.locator("tr", has=page.locator(f"td >> text={mara}"))
    line.wait_for()
    sync_api.expect(line).not_to_contain_text("too fast")


def test_the_next_pair_is_there_before_the_click(page: Any, house: House) -> None:
    """No picture is asked for between an answer and the next pair."""
    first = prefetched(page, house.address(house.session(house.pair, judge("Prefetch"))))
    page.wait_for_timeout(LOOK_MS)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.keyboard.press("ArrowLeft")
    second = shown(page, first)
    assert not [address for address in asked if f"/blind/{second}/" in address]


EAGER = """() => {
    const box = document.querySelector(".ewb"), before = box.dataset.shown;
    const press = (key) => new KeyboardEvent("keydown", {key, bubbles: true});
    new MutationObserver((_, watching) => {
        if (box.dataset.shown === before) return;
        watching.disconnect();
        box.querySelector(".ewb-pic").dispatchEvent(new MouseEvent("click", {bubbles: true, detail: 1}));
        document.body.dispatchEvent(press("ArrowRight"));
        const delayed = press("ArrowRight"); // pressed now, and the page is told late
        setTimeout(() => { document.body.dispatchEvent(delayed); box.dataset.eager = "done"; }, 600);
    }).observe(box, {attributes: true});
}"""


def test_a_double_click_answers_one_pair_once(page: Any, house: House) -> None:
    """What was meant for the pair before is not taken for an answer to the next, however late."""
    double = judge("Double")
    page.goto(house.address(house.session(house.pair, double)))
    first = shown(page)
    page.wait_for_timeout(LOOK_MS)
    page.evaluate(EAGER)
    page.locator(".ewb-pic").first.dblclick()
    second = shown(page, first)
    page.locator(".ewb[data-eager=done]").wait_for()
    assert shown(page) == second
    page.keyboard.press("b")  # now it was looked at
    shown(page, second)
    settle(page)
    choices = [each["choice"] for each in house.answers(house.pair, double)]
    assert choices == ["left", "both_bad"]


def test_the_comparison_looked_at_stays_while_others_vote_on_it(page: Any, house: House) -> None:
    """Its line in the list has other words by then; it is not the newest, which is shown first."""
    stays = judge("Stays")
    page.goto(f"{house.url}/vote?id={house.pair.id}")
    enter = page.get_by_role("button", name="Vote", exact=True)
    enter.wait_for()
    settled(page)
    other = house.session(house.pair, judge("Meanwhile"))
    desk = _call(house, "next", other)[0]["desk"]
    _call(
        house, "answer", other, serving=desk["servings"][0]["id"], revision=0, choice="tie", note=""
    )
    enter.click()
    see(page, "text=Say who you are")
    settled(page)
    write(page.get_by_label("Your name"), stays)
    enter.click()
    shown(page)
    assert len(house.votes(house.pair, stays)) > 0


def test_two_tabs_store_each_answer_once_and_say_so(page: Any, house: House) -> None:
    """The same pairs are on both desks; the tab that comes second is told what stands."""
    tabs = judge("Tabs")
    session = house.session(house.pair, tabs)
    page.goto(house.address(session))
    other = page.context.new_page()
    other.goto(house.address(session))
    assert shown(page) == shown(other)
    page.wait_for_timeout(LOOK_MS)
    page.keyboard.press("ArrowLeft")
    settle(page)
    other.keyboard.press("ArrowRight")
    see(other, "text=answered in another tab already: left")
    settle(other)
    answers = house.answers(house.pair, tabs)
    assert [each["choice"] for each in answers] == ["left"]
    other.close()


def test_a_reload_goes_on_where_it_was_and_an_undo_reaches_back(page: Any, house: House) -> None:
    """The pair that was looked at comes again; the last answer can still be taken back."""
    reload = judge("Reload")
    page.goto(house.address(house.session(house.pair, reload)))
    first = shown(page)
    now = press(page, "<", 2)
    settle(page)
    page.reload()
    assert shown(page) == now
    page.keyboard.press("u")
    undone = shown(page, now)
    page.wait_for_timeout(LOOK_MS)
    page.keyboard.press("n")
    note = page.get_by_label("Note on this pair")
    sync_api.expect(note).to_be_focused()
    page.keyboard.type("too blurry on the right")
    page.keyboard.press("Enter")
    sync_api.expect(note).to_be_hidden()
    page.keyboard.press("ArrowRight")
    assert shown(page, undone) == now
    settle(page)
    stands = {each.id: each for each in house.votes(house.pair, reload)}
    assert (stands[first].choice, stands[first].revision) == ("left", 0)
    assert (stands[undone].choice, stands[undone].revision) == ("right", 2)
    assert stands[undone].note == "too blurry on the right"


def test_a_pair_is_looked_at_in_every_way_before_it_is_answered(page: Any, house: House) -> None:
    """One in the place of the other, under a slider, over the whole screen, and at 24 pixels."""
    looker = judge("Looker")
    page.goto(house.address(house.session(house.pair, looker)))
    first = shown(page)
    figures, box = page.locator(".ewb-stage figure"), page.locator(".ewb")
    stage, cut = page.locator(".ewb-stage"), page.locator(".ewb-slide input")
    sync_api.expect(page.locator(".ewb-24").first).to_have_css("width", "24px")
    page.wait_for_function("document.querySelector('.ewb-pic')?.offsetWidth > 400")
    for visible, hidden in ((0, 1), (1, 0)):
        page.keyboard.press("f")
        sync_api.expect(figures.nth(hidden)).to_be_hidden()
        sync_api.expect(figures.nth(visible)).to_be_visible()
    page.keyboard.press("d")
    cut.focus()
    page.keyboard.press("Home")
    sync_api.expect(stage).to_have_attribute("style", re.compile(r"--cut: *0%"))
    page.keyboard.press("Escape")
    sync_api.expect(stage).to_have_attribute("data-view", "side")
    for classes in ("ewb ewb-zoomed", "ewb ewb-zoomed ewb-lens", "ewb"):
        page.keyboard.press("z")
        sync_api.expect(box).to_have_class(classes)
    assert house.answers(house.pair, looker) == []
    page.keyboard.press("s")
    second = shown(page, first)
    page.wait_for_timeout(LOOK_MS)
    page.keyboard.press("f")
    page.keyboard.press("ArrowRight")
    third = shown(page, second)
    page.wait_for_timeout(LOOK_MS)
    page.locator("[data-vote=both_bad]").focus()
    page.keyboard.press("Space")  # presses the button that has the focus: no tie
    shown(page, third)
    settle(page)
    choices = [each["choice"] for each in house.answers(house.pair, looker)]
    assert choices == ["skip", "right", "both_bad"]


def test_the_last_answer_of_a_sitting_can_be_taken_back_by_tap(page: Any, house: House) -> None:
    """When nothing is left to answer, undo is the one button of the bar that stays."""
    name = judge("Last")
    with house.database.transaction() as connection:
        last = voting.begin(connection, house.pair.id, name, "local", budget=1)
    page.goto(house.address(last))
    pair = shown(page)
    page.wait_for_timeout(LOOK_MS)
    page.keyboard.press("ArrowLeft")
    page.locator(".ewb-idle").wait_for()
    sync_api.expect(page.locator(".ewb-bar button:visible")).to_have_text(["undo u"])
    page.locator("[data-do=undo]").click()
    page.locator(".ewb:not(.ewb-idle) .ewb-pic").first.wait_for()
    assert shown(page) == pair
    settle(page)
    assert [each["choice"] for each in house.answers(house.pair, name)] == ["left", "undone"]


def test_answers_given_without_a_line_are_kept_and_stored_once(page: Any, house: House) -> None:
    """Lost before the server, lost on the way back, and a reload in between."""
    line = judge("Line")
    first = prefetched(page, house.address(house.session(house.pair, line)))
    page.wait_for_timeout(LOOK_MS)
    page.context.set_offline(True)
    page.keyboard.press("ArrowLeft")
    second = shown(page, first)
    see(page, "text=not saved yet")
    assert house.answers(house.pair, line) == []
    page.context.set_offline(False)
    page.reload()
    settle(page)
    assert shown(page) == second

    def lose_the_reply(route: Any) -> None:
        route.fetch()  # it is stored ...
        route.abort()  # ... and nobody hears of it

    page.route("**/vote/answer", lose_the_reply, times=2)
    page.wait_for_timeout(LOOK_MS)
    page.keyboard.press("ArrowRight")
    shown(page, second)
    settle(page)
    answers = house.answers(house.pair, line)
    assert [(each["serving_id"], each["choice"]) for each in answers] == [
        (first, "left"),
        (second, "right"),
    ]


def test_the_database_goes_away_during_a_vote(page: Any, house: House) -> None:
    """The answer waits in the browser and is stored when it is back."""
    outage = judge("Outage")
    page.goto(house.address(house.session(house.pair, outage)))
    first = shown(page)
    page.wait_for_timeout(LOOK_MS)
    house.postgres.stop()
    try:
        page.keyboard.press("ArrowLeft")
        see(page, "text=not saved yet")
    finally:
        house.postgres.start()
    settle(page)
    assert [each["serving_id"] for each in house.answers(house.pair, outage)] == [first]


def test_several_are_ranked_by_keys_and_become_votes_on_pairs(page: Any, house: House) -> None:
    """One, two, three: the last follows by itself."""
    ranker = judge("Rank")
    page.goto(house.address(house.session(house.four, ranker)))
    now = shown(page)
    settled(page)
    page.locator("text=Rank several at once").click()
    page.wait_for_function("() => document.querySelectorAll('.ewb-pic').length === 4")
    now = shown(page, now)
    page.wait_for_timeout(LOOK_MS)
    for key in "312":
        page.keyboard.press(key)
    shown(page, now)
    settle(page)
    ranked = [each for each in house.votes(house.four, ranker) if each.choice == "ranking"]
    assert [each.ranking for each in ranked] == [(2, 0, 1, 3)]


def test_pictures_not_drawn_yet_are_waited_for_with_progress(page: Any, house: House) -> None:
    """What is drawn is voted on; then the page says how far the rest is."""
    page.goto(house.address(house.session(house.half, judge("Wait"))))
    now = shown(page)
    while page.locator(".ewb-idle").count() == 0:
        page.wait_for_timeout(LOOK_MS)
        page.keyboard.press("ArrowLeft")
        settle(page)  # before, there may be nothing to show for a moment
        page.wait_for_function(
            "before => document.querySelector('.ewb-idle')"
            " || document.querySelector('.ewb').dataset.shown !== before",
            arg=now,
        )
        now = page.evaluate("document.querySelector('.ewb').dataset.shown")
    see(page, "text=4 of 20 images are drawn")


def test_a_guest_votes_by_tap_on_one_comparison_only(browser: Any, house: House) -> None:
    """No account, no other page, and no result; then the link is closed."""
    guest = judge("Nadia")
    with house.database.transaction() as connection:
        token, link = guest_links.invite(connection, house.pair.id, guest, created_by="me", hours=1)
    stranger = _call(house, "next", house.session(house.four, judge("Stranger")))[0]["desk"]
    alien = stranger["servings"][0]["id"]
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    context.set_default_timeout(PATIENCE_MS)
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.goto(f"{house.url}/guest/{token}")
    first = shown(tab)
    tab.wait_for_function("document.documentElement.scrollWidth <= 390")
    tab.wait_for_timeout(LOOK_MS)
    tab.locator(".ewb-pic").nth(1).tap()
    second = shown(tab, first)
    tab.locator("[data-view=flip]").last.tap()
    tab.wait_for_timeout(LOOK_MS)
    tab.locator("[data-vote=left]").tap()  # in the place of the pictures, which a tap flips now
    shown(tab, second)
    settle(tab)
    assert [each["choice"] for each in house.answers(house.pair, guest)] == ["right", "left"]
    assert "epoch 7" not in tab.content()
    assert complaints == []
    tab.get_by_role("button", name="I am done").tap()
    tab.get_by_text("Thank you. You can close this page.").wait_for()
    sync_api.expect(tab.locator(".ewb-bar button:visible")).to_have_count(0)
    answer = tab.request.get(f"{house.url}/guest/{token}/blind/{alien}/0.png")
    assert answer.status == 404
    with house.database.transaction() as connection:
        guest_links.revoke(connection, link.token_sha256[:8])
    assert "not open" in tab.goto(f"{house.url}/guest/{token}").text()
    context.close()


# ---- blind means blind


def _call(house: House, what: str, session: voting.Session, **body: Any) -> tuple[Any, float]:
    content = {
        "session": session.id,
        "ticket": sign(read_key(house.home), f"ballot {session.id}"),
        "ways": 2,
        **body,
    }
    request = urllib.request.Request(
        f"{house.url}/vote/{what}",
        data=json.dumps(content).encode(),
        headers={"Content-Type": "application/json", "Origin": house.url},
    )
    started = time.perf_counter()
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer), time.perf_counter() - started


def _features(address: str, headers: Any, file: bytes, seconds: float) -> list[float]:
    """Return what a browser sees of one picture besides its pixels, as numbers."""
    from PIL import Image

    outside, at, pixels = bytearray(), 8, 0
    while at < len(file):
        length, kind = int.from_bytes(file[at : at + 4], "big"), file[at + 4 : at + 8]
        if kind == b"IDAT":
            pixels += length
        else:
            outside += file[at : at + 12 + length]
        at += 12 + length
    path = address.rsplit("/", 2)[1]
    letters = Counter(path)
    histogram = np.bincount(np.frombuffer(bytes(outside), np.uint8), minlength=256) / len(outside)
    return [
        float(len(file)),
        float(headers["content-length"]),
        float(len(headers.items())),
        seconds,
        *(float(each) for each in Image.open(io.BytesIO(file)).size),
        *(float(letters[chr(each)]) for each in range(45, 123)),
        *histogram,
    ]


def _sides(house: House, addresses: list[str]) -> np.ndarray:
    """Fetch the pictures of a serving as a browser does, and return features of left less right."""
    sides = []
    for address in addresses:
        started = time.perf_counter()
        with urllib.request.urlopen(house.url + address, timeout=120) as answer:
            file = answer.read()
            sides.append(_features(address, answer.headers, file, time.perf_counter() - started))
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["etag"] is None
    return np.subtract(*sides)


def _watch(house: House) -> tuple[np.ndarray, np.ndarray]:
    """Return features [servings, kinds, n] of large and small pictures, and where the base stood.

    Features are those of the left picture less those of the right; True: the base was on the left.
    """
    seen: dict[str, Any] = {}
    found = []
    for _ in range(4):  # a judge sees each pair once
        reader = judge("Reader")
        session = house.session(house.pair, reader)
        desk = _call(house, "next", session)[0]["desk"]
        for _ in range(SHOWN // 4):
            each = desk["servings"][0]
            seen[each["id"]] = [_sides(house, each[kind]) for kind in ("pictures", "small")]
            desk = _call(
                house, "answer", session, serving=each["id"], revision=0, choice="tie", note=""
            )[0]["desk"]
        found += [
            (seen[each.id], each.slots[0] == house.pair.slots[0].key)
            for each in house.votes(house.pair, reader)
            if each.id in seen and each.purpose != "gold"
        ]
    assert len(found) > SERVINGS - 20
    return np.array([each for each, _ in found]), np.array([left for _, left in found])


def _guessed(features: np.ndarray, truth: np.ndarray) -> float:
    """Return how often a nearest-centroid guess is right, each fifth guessed from the others."""
    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    right = 0
    for fold in range(5):
        mine = np.arange(len(truth)) % 5 == fold
        base = scaled[~mine & truth].mean(axis=0)
        other = scaled[~mine & ~truth].mean(axis=0)
        nearer = ((scaled[mine] - base) ** 2).sum(1) < ((scaled[mine] - other) ** 2).sum(1)
        right += int((nearer == truth[mine]).sum())
    return right / len(truth)


@pytest.mark.timeout(900)
def test_nothing_but_the_pixels_tells_the_sides_apart(house: House) -> None:
    """Lengths, headers, addresses, timing and bytes of 200 servings say no more than a coin.

    Of the large pictures and of the small ones, each by themselves and both together.
    """
    left = {"large", "small", "both", "timing of large", "timing of small"}
    for _ in range(3):  # a coin leaves 42 to 58 % once in fifty times; thrice running, never
        features, truth = _watch(house)
        assert (features[:, :, :3] == 0).all()  # lengths and number of headers
        told = {
            "large": features[:, 0],
            "small": features[:, 1],
            "both": features.reshape(len(truth), -1),
            "timing of large": features[:, 0, [3]],
            "timing of small": features[:, 1, [3]],
        }
        guessed = {name: _guessed(some, truth) for name, some in told.items()}
        print(f"guessed of {len(truth)}: {guessed}")
        left &= {name for name, share in guessed.items() if not 0.42 <= share <= 0.58}
        if not left:
            return
    raise AssertionError(f"the sides can be told apart by {sorted(left)}")


def test_a_page_of_an_open_sitting_holds_no_name_hash_or_sample(page: Any, house: House) -> None:
    """Neither in its markup, nor in what it asks for, nor in what it is told."""
    session = house.session(house.pair, judge("Scan"))
    told: list[str] = []
    answers: list[Any] = []
    page.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 - it takes no method
    page.on("websocket", lambda socket: socket.on("framereceived", lambda f: told.append(str(f))))
    page.goto(house.address(session))
    press(page, "<", 3)
    settle(page)
    told += [each.url + (each.text() if "/vote/" in each.url else "") for each in answers]
    everything = page.content() + "".join(told)
    with house.database.transaction() as connection:
        images = connection.execute("SELECT image_sha256 FROM epochwatch.images").fetchall()
    secrets = [
        *(slot.key for slot in house.pair.slots),
        *house.pair.samples.values(),
        *(str(each["image_sha256"]) for each in images),
    ]
    assert [secret for secret in secrets if secret[:16] in everything] == []
    for each in page.evaluate(
        "[...document.querySelectorAll('.ewb img')].map(each => each.outerHTML)"
    ):
        assert "epoch" not in each
        assert "base" not in each


def test_the_log_has_no_traceback(house: House) -> None:
    """After all of the above the server has nothing to complain about."""
    assert complaints(house.log) == []
