"""Judges sign in: a real browser, a real dashboard, and a provider that speaks OpenID Connect."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.store import guest_links, voting
from core.store.database import Database
from core.store.files import open_store
from dashboard.access import read_key, sign
from seeded_comparison import Made, compare
from seeded_history import Seeded, seed
from served_dashboard import (
    CHROMIUM,
    PATIENCE_MS,
    complaints,
    dashboard,
    real_browser,
    see,
    settled,
)
from throwaway_postgres import throwaway_server

sync_api = pytest.importorskip("playwright.sync_api")
sign_in_provider = pytest.importorskip("sign_in_provider")
ADA, ANN, BO = "ada@example.org", "ann@example.org", "bo@studio.example"
VERA, EVE = "vera@example.org", "eve@sub.studio.example"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium here"),
]


@dataclass(frozen=True, kw_only=True)
class House:
    """Everything that runs for these tests."""

    database: Database
    home: Path
    url: str
    log: Path
    pair: Made
    runs: Seeded

    def votes(self) -> list[tuple[str, str]]:
        """Return who voted, and by which way in, in the order of names."""
        with self.database.transaction() as connection:
            served = voting.served(connection, self.pair.id)
            via = {each.id: each.via for each in voting.sessions(connection, self.pair.id)}
        return sorted(
            (each.judge, via[each.session_id]) for each in served if each.choice is not None
        )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A comparison to vote on, in a dashboard that anyone can reach and few may use."""
    home = tmp_path_factory.mktemp("home")
    with throwaway_server() as postgres:
        with psycopg.connect(postgres.dsn) as connection:
            store = open_store(home / "store")
            runs = seed(connection, store)
            pair = compare(connection, store, units=8)
        with (
            sign_in_provider.provider(ADA, ANN, BO, VERA, EVE, unverified=ADA) as issuer,
            Database(postgres.dsn, wait_seconds=PATIENCE_MS / 1000) as database,
            dashboard(
                home,
                postgres.dsn,
                "--server.address",
                "0.0.0.0",
                "--secrets.files",
                str(sign_in_provider.secrets_file(home, issuer)),
                EPOCHWATCH_ADMINS=ADA,
                EPOCHWATCH_VOTERS=f"{ANN.title()}, @studio.example",
                EPOCHWATCH_VIEWERS=VERA,
            ) as (url, log),
        ):
            yield House(database=database, home=home, url=url, log=log, pair=pair, runs=runs)


@pytest.fixture(scope="module")
def context() -> Iterator[Any]:
    """A browser that keeps Streamlit's own scripts from test to test."""
    with real_browser() as chromium:
        found = chromium.new_context(viewport={"width": 1400, "height": 900})
        found.set_default_timeout(PATIENCE_MS)
        yield found


@pytest.fixture
def page(context: Any) -> Iterator[Any]:
    """A page in which nobody is signed in."""
    context.clear_cookies()
    tab = context.new_page()
    yield tab
    tab.close()


def sign_in(tab: Any, house: House, account: str, place: str = "/") -> None:
    """Open a place, and go through the provider's page as this account."""
    tab.goto(house.url + place)
    tab.get_by_role("button", name="Sign in").click()
    tab.get_by_role("button", name=account, exact=True).click()
    tab.wait_for_url(f"{house.url}/**")  # the provider's page has another address
    tab.get_by_role("button", name="Sign out").wait_for()


def vote(tab: Any) -> None:
    """Give one vote and wait until the server has it."""
    tab.get_by_role("button", name="Vote", exact=True).click()
    tab.wait_for_function("document.querySelector('.ewb')?.dataset.shown")
    tab.wait_for_timeout(300)
    with tab.expect_response(lambda answer: answer.url.endswith("/vote/answer")) as stored:
        tab.keyboard.press("ArrowLeft")
    assert stored.value.json()["accepted"] is True


def status(house: House, path: str, body: Any = None, **headers: str) -> int:
    """Return how a request is answered that comes with no cookie but these headers."""
    data = None if body is None else json.dumps(body).encode()
    if data:
        headers |= {"Content-Type": "application/json", "Origin": house.url}
    request = urllib.request.Request(house.url + path, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def test_a_voter_signs_in_votes_blind_and_signs_out(page: Any, house: House) -> None:
    """The link that was sent leads there after signing in; the vote is the account's."""
    sign_in(page, house, ANN, f"/vote?id={house.pair.id}")
    page.locator("[data-part=account]", has_text=f"{ANN}, voter").wait_for()
    page.wait_for_url(f"{house.url}/vote?id={house.pair.id}")
    name = page.get_by_label("Your name")
    sync_api.expect(name).to_have_value(ANN)
    sync_api.expect(name).to_be_disabled()
    before = house.votes()
    vote(page)
    assert house.votes() == sorted([*before, (ANN, "account")])
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/oauth2/end_session**")
    page.locator("form button").first.click()
    page.wait_for_url(f"{house.url}/**")
    page.locator("[data-part=sign-in]", has_text="Sign in to look and to vote").wait_for()
    settled(page)
    assert page.locator("[data-part=account]").count() == 0


def test_another_account_sits_down_apart_and_cannot_take_over(page: Any, house: House) -> None:
    """A colleague of a listed domain has a desk of their own; a borrowed ticket opens none."""
    with house.database.transaction() as connection:
        anns = voting.begin(connection, house.pair.id, ANN, "account")
    ticket = sign(read_key(house.home), f"ballot {anns.id}")
    sign_in(page, house, BO)
    page.locator("[data-part=account]", has_text=f"{BO}, voter").wait_for()
    page.goto(f"{house.url}/vote?id={house.pair.id}&sitting={anns.id}-{ticket}")
    before = house.votes()
    vote(page)
    assert house.votes() == sorted([*before, (BO, "account")])
    body = {"session": anns.id, "ticket": ticket, "ways": 2}
    stolen = page.request.post(f"{house.url}/vote/next", data=body, headers={"Origin": house.url})
    assert stolen.status == 403
    page.goto(f"{house.url}/try")
    see(page, "text=this is for admins only")


def test_a_viewer_looks_and_changes_nothing(page: Any, house: House) -> None:
    """No ballot, no form, and the routes behind them refuse as well."""
    with house.database.transaction() as connection:
        session = voting.begin(connection, house.pair.id, VERA, "account")
    sign_in(page, house, VERA, f"/vote?id={house.pair.id}")
    see(page, "text=this is for voters and admins only")
    settled(page)
    assert page.get_by_role("button", name="Vote", exact=True).count() == 0
    ticket = sign(read_key(house.home), f"ballot {session.id}")
    refused = page.request.post(
        f"{house.url}/vote/next",
        data={"session": session.id, "ticket": ticket, "ways": 2},
        headers={"Origin": house.url},
    )
    assert refused.status == 403
    assert "vera@example.org is signed in as viewer" in refused.json()["error"]
    page.goto(f"{house.url}/run?run={house.runs.live}")
    picture = page.locator(".ew-grid tbody [data-open]").first
    picture.wait_for()
    address = house.url + str(picture.get_attribute("data-open"))
    close_up = page.request.get(address)
    assert close_up.ok
    assert "ew-wrong" not in close_up.text()
    assert status(house, address.removeprefix(house.url)) == 401


def test_an_admin_decides_in_the_accounts_name(page: Any, house: House) -> None:
    """Who promotes is not typed."""
    sign_in(page, house, ADA, "/production")
    page.get_by_role("button", name="Promote").first.click()
    asked = page.get_by_test_id("stForm").filter(has_text="into production?")
    name = asked.get_by_label("Your name")
    sync_api.expect(name).to_have_value(ADA)
    sync_api.expect(name).to_be_disabled()


@pytest.mark.parametrize(
    ("account", "words"),
    [(EVE, f"{EVE} is on no list"), ("mallory", "Your e-mail address is not verified")],
)
def test_whoever_is_on_no_list_is_told_so(
    page: Any, house: House, account: str, words: str
) -> None:
    """A stranger, and somebody who only says to be the admin: signing in alone opens nothing."""
    sign_in(page, house, account, "/run")
    page.locator("[data-part=sign-in]", has_text=words).wait_for()
    settled(page)
    assert page.locator("[data-testid=stTopNavLink]").count() == 0
    assert page.request.get(f"{house.url}/events").status == 401


def test_nobody_gets_past_the_first_page_without_an_account(house: House) -> None:
    """No route of ours, no file of Streamlit's, no made-up cookie; a guest's link goes on working."""
    paths = ("/events", f"/img/{'0' * 64}.png", f"/picture/1/{'0' * 64}", "/media/x.png", "/run")
    assert {status(house, path) for path in paths} == {401}
    assert status(house, "/_stcore/upload_file/a/b") == 401
    assert status(house, "/events", Cookie="_streamlit_user=InsiYSI6MX0i.x.y") == 401
    assert status(house, "/?token=anything") == 200
    assert status(house, "/vote/next", {"session": 1}) == 401
    with house.database.transaction() as connection:
        token, _ = guest_links.invite(connection, house.pair.id, "Nadia", created_by=ADA, hours=1)
    assert status(house, f"/guest/{token}") == 200
    assert status(house, f"/guest/{token}/next", {"ways": 2}) == 200


def test_the_log_has_no_secret_and_no_traceback(house: House) -> None:
    """After all of the above."""
    said = house.log.read_text(encoding="utf-8")
    assert sign_in_provider.COOKIE_SECRET not in said
    assert sign_in_provider.CLIENT_SECRET not in said
    assert "code=" not in said
    assert complaints(house.log) == []
