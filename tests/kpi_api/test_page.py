"""The page in a real browser, over the real handler."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect

from tests.kpi_api import browser as browsers
from tests.kpi_api.browser import BrowserMissingError, chromium, chromium_path
from tests.kpi_api.conftest import Kpis
from tests.kpi_api.gateway import API_KEY, gateway
from tests.kpi_api.rows import DAYS, ODD_GENRES

DAY, DAY_BEFORE = DAYS[-1], DAYS[-2]
DAY_TITLE = "Tuesday 25 June 2024"


@dataclass(frozen=True)
class Visit:
    """A tab on the page.

    Attributes:
        page: the tab.
        address: of the page.
        complaints: what the browser's console said in red: scripts that failed, and breaches of the page's policy.
    """

    page: Page
    address: str
    complaints: list[str]

    def open(self, fragment: str = "", *, key: str | None = API_KEY) -> None:
        """Opens the page and waits for its view."""
        if key is not None:
            self.page.add_init_script(f"sessionStorage.setItem('music-kpi-api-key', {json.dumps(key)})")
        self.page.goto(self.address + fragment)
        self.loaded()

    def loaded(self) -> None:
        """Waits until nothing is being loaded."""
        expect(self.page.locator("main:not([aria-busy]) h1")).to_be_visible()

    def fail(self, status: int, body: str, path: str = "**/v1/**") -> None:
        """Lets the API answer so."""
        self.page.route(path, lambda route: route.fulfill(status=status, body=body, content_type="application/json"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def address(kpis: Kpis) -> Iterator[str]:
    assert kpis.rows
    with gateway() as address:
        yield address


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="de-DE", timezone_id="Asia/Tokyo")
    page = context.new_page()
    page.set_default_timeout(60_000)
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and "status of" not in message.text and "net::ERR_FAILED" not in message.text:
            complaints.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield Visit(page, address, complaints)
    context.close()
    assert not complaints


def figures(page: Page) -> dict[str, str]:
    """The summary cards: what each says, by its term."""
    cards = page.locator(".card").all()
    return {card.locator("dt").inner_text(): " ".join(card.locator(".figure").inner_text().split()) for card in cards}


def rows_of(page: Page) -> list[list[str]]:
    """The cells of the table of all genres."""
    return [row.locator("th, td").all_inner_texts() for row in page.locator("section:has(#all-genres) tbody tr").all()]


def time(milliseconds: int) -> str:
    seconds = (milliseconds + 500) // 1000
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds // 60 % 60} min"


class TestKey:
    """The page is public and empty; the key opens it."""

    def test_the_page_asks_for_the_key_and_shows_nothing_before(self, visit: Visit) -> None:
        visit.open(key=None)
        page = visit.page

        expect(page.get_by_role("heading", level=1)).to_have_text("Open the KPIs")
        expect(page.get_by_label("API key")).to_be_focused()
        expect(page.locator("#days")).to_be_hidden()
        assert not page.locator(".card").count()

    def test_the_key_opens_the_newest_day_and_stays_in_the_tab(self, visit: Visit) -> None:
        visit.open(key=None)
        page = visit.page
        page.keyboard.type(API_KEY)
        page.keyboard.press("Enter")

        expect(page.get_by_role("heading", level=1)).to_contain_text("25 June 2024")
        assert API_KEY not in page.url
        assert page.evaluate("Object.values(sessionStorage)") == [API_KEY]
        assert page.evaluate("[Object.keys(localStorage).length, document.cookie]") == [0, ""]
        page.get_by_role("button", name="Forget key").click()
        expect(page.get_by_label("API key")).to_be_focused()
        assert page.evaluate("sessionStorage.length") == 0

    def test_a_wrong_key_is_told_and_asked_for_again(self, visit: Visit) -> None:
        visit.open(key=None)
        page = visit.page
        page.get_by_label("API key").fill("wrong")
        page.get_by_role("button", name="Open").click()

        expect(page.get_by_role("alert")).to_contain_text("The key is not accepted")
        expect(page.get_by_label("API key")).to_have_value("")
        page.get_by_label("API key").fill(API_KEY)
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("25 June 2024")


class TestDay:
    """A day."""

    def test_shows_the_summary_row(self, visit: Visit, kpis: Kpis) -> None:
        visit.open(f"#day={DAY}")
        row = kpis.summary(DAY)

        assert figures(visit.page) == {
            "Plays": str(row["listens"]),
            "Listeners": str(row["unique_listeners"]),
            "Plays per listener": f"{row['listens_per_listener']:.2f}",
            "Listening time": time(row["listening_time_ms"]),
            "Plays of unknown tracks": str(row["unknown_track_plays"]),
        }
        tops = visit.page.locator("section:has(#top-genres) .name").all_inner_texts()
        assert tops == [top["genre"] for top in row["top_genres"]]
        countries = visit.page.locator("section:has(#countries) .name").all_inner_texts()
        expected = sorted(row["listens_by_country"].items(), key=lambda entry: -entry[1])
        assert sorted(countries) == sorted(country.replace("unknown", "Unknown") for country, _ in expected)

    def test_lists_every_genre_and_sorts_by_each_column(self, visit: Visit, kpis: Kpis) -> None:
        visit.open(f"#day={DAY}")
        page = visit.page
        expected = sorted((kpis.genre(DAY, genre) for genre in ODD_GENRES), key=lambda row: -row["listens"])

        assert [int(row[1]) for row in rows_of(page)] == [row["listens"] for row in expected]
        by_genre = {row["genre"]: row for row in expected}
        for genre, listens, listeners, total, _, _ in rows_of(page):
            row = by_genre[genre]
            assert (int(listens), int(listeners)) == (row["listens"], row["unique_listeners"])
            assert total == time(row["listening_time_ms"])
        head = page.get_by_role("columnheader", name="Listeners")
        head.get_by_role("button").press("Enter")
        expect(head).to_have_attribute("aria-sort", "descending")
        falling = [int(row[2]) for row in rows_of(page)]
        assert falling == sorted(falling, reverse=True)
        head.get_by_role("button").press("Enter")
        expect(head).to_have_attribute("aria-sort", "ascending")
        assert [int(row[2]) for row in rows_of(page)] == sorted(falling)
        assert page.locator("[aria-sort]").count() == 1

    def test_finds_genres_by_a_part_of_their_name(self, visit: Visit) -> None:
        visit.open(f"#day={DAY}")
        visit.page.get_by_label("Find a genre").fill("POP")

        assert sorted(row[0] for row in rows_of(visit.page)) == sorted(["pop", "rock / pop #1", "überpop"])
        expect(visit.page.get_by_text(f"3 of {len(ODD_GENRES)} genres")).to_be_visible()

    def test_is_chosen_by_the_buttons_the_list_and_the_way_back(self, visit: Visit) -> None:
        visit.open()
        page = visit.page
        title = page.get_by_role("heading", level=1)
        expect(page.get_by_role("button", name="Later day")).to_be_disabled()

        page.get_by_role("button", name="Earlier day").click()
        expect(title).to_contain_text("24 June 2024")
        assert page.url.endswith(f"#day={DAY_BEFORE}")
        expect(title).to_be_focused()
        page.get_by_label("Day", exact=True).select_option(DAYS[0])
        expect(title).to_contain_text("23 June 2024")
        expect(page.get_by_role("button", name="Earlier day")).to_be_disabled()
        page.go_back()
        expect(title).to_contain_text("24 June 2024")
        expect(page.get_by_label("Day", exact=True)).to_have_value(DAY_BEFORE)

    @pytest.mark.parametrize("fragment", [f"#day={DAY}", f"#day={DAY}&genre=pop"])
    def test_never_shows_two_versions_together(self, visit: Visit, fragment: str) -> None:
        def answer_of_an_earlier_version(route: Route) -> None:
            answer = route.fetch()
            route.fulfill(response=answer, json={**answer.json(), "version": 0})

        visit.page.route(f"**/v1/days/{DAY}", answer_of_an_earlier_version)
        visit.open(fragment)
        expect(visit.page.get_by_role("alert")).to_contain_text("The day was computed again")

        visit.page.unroute_all()
        visit.page.get_by_role("button", name="Try again").click()
        expect(visit.page.locator(".figure").first).to_be_visible()


class TestGenre:
    """A genre's day."""

    @pytest.mark.parametrize(
        "genre", ["rock / pop #1", "50% off", "%41", "🎵", "<img src=x onerror=alert(1)>", "x" * 200]
    )
    def test_opens_from_the_table_and_by_its_address(self, visit: Visit, kpis: Kpis, genre: str) -> None:
        visit.open(f"#day={DAY}")
        page = visit.page
        page.locator("section:has(#all-genres)").get_by_role("link", name=genre, exact=True).click()
        title = page.get_by_role("heading", level=1)
        expect(title).to_have_text(genre)
        page.reload()
        visit.loaded()

        expect(title).to_have_text(genre)
        row = kpis.genre(DAY, genre)
        assert figures(page)["Plays"] == str(row["listens"])
        songs = page.locator("section:has(#top-songs) .song").all_inner_texts()
        assert songs == [song["track_name"] for song in row["top_songs"]]

    def test_shows_its_hours_and_days_as_charts_and_tables(self, visit: Visit, kpis: Kpis) -> None:
        visit.open(f"#day={DAY}&genre=pop")
        page = visit.page
        for section, label in (("#hours", "Bars: plays in each hour of the day"), ("#series", "Line: plays of pop")):
            chart = page.locator(f"section:has({section})").get_by_role("img")
            expect(chart).to_have_attribute("aria-label", re.compile(f"^{label}"))
            assert is_drawn(chart.locator("canvas").first)
            page.locator(f"section:has({section}) summary").press("Enter")

        hours = page.locator("section:has(#hours) tbody tr").all()
        assert [hour.locator("th, td").all_inner_texts()[:2] for hour in hours] == [
            [f"{hour}:00", str(figures["listens"])] for hour, figures in kpis.genre(DAY, "pop")["hours"].items()
        ]
        days = page.locator("section:has(#series) tbody tr").all()
        assert [day.locator("td").first.inner_text() for day in days] == [
            str(kpis.genre(day, "pop")["listens"]) for day in reversed(DAYS)
        ]

    def test_a_point_of_its_line_leads_to_the_day(self, visit: Visit) -> None:
        visit.open(f"#day={DAY}&genre=pop")
        over = visit.page.locator("section:has(#series) .u-over")
        over.hover(position={"x": 2, "y": 20})
        expect(visit.page.locator("section:has(#series) .tip")).to_contain_text("23 Jun 2024")
        over.click(position={"x": 2, "y": 20})
        expect(visit.page.locator(".title")).to_contain_text("23 June 2024")


def is_drawn(canvas: Any) -> bool:  # noqa: ANN401 - a Locator
    """Whether a canvas has anything on it."""
    return bool(
        canvas.evaluate("c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(part => part !== 0)")
    )


class TestTrouble:
    """What goes wrong is said, with what to do next."""

    @pytest.mark.parametrize(
        ("status", "body", "words"),
        [
            (403, '{"Message": "anonymous is not authorized to perform: execute-api:Invoke with an explicit deny"}',
             "This address may not read the KPIs"),
            (403, '{"message": "Missing Authentication Token"}', "signed requests only"),
            (429, '{"message": "Limit Exceeded"}', "Too many requests"),
            (503, '{"detail": "busy"}', "The database is busy"),
            (500, '{"detail": "internal", "request_id": "abc-1"}', "The request is abc-1"),
            (502, "no JSON", "The API answered 502"),
        ],
    )  # fmt: skip
    def test_an_error_is_told_and_can_be_tried_again(self, visit: Visit, status: int, body: str, words: str) -> None:
        visit.fail(status, body)
        visit.open(f"#day={DAY}")
        page = visit.page
        expect(page.get_by_role("alert")).to_contain_text(words)

        page.unroute_all()
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("25 June 2024")

    def test_a_network_that_fails(self, visit: Visit) -> None:
        visit.page.route("**/v1/**", lambda route: route.abort())
        visit.open()
        expect(visit.page.get_by_role("alert")).to_contain_text("The API cannot be reached")

    def test_no_day_yet(self, visit: Visit) -> None:
        visit.fail(200, '{"days": [], "next_cursor": null}')
        visit.open()
        expect(visit.page.get_by_role("heading", level=1)).to_have_text("No day has KPIs yet")

    @pytest.mark.parametrize(
        ("fragment", "title", "link"),
        [
            ("#day=2023-01-01", "No KPIs", "Go to the newest day"),
            (f"#day={DAY}&genre=polka", "No plays of polka", "All genres of the day"),
        ],
    )
    def test_a_day_or_genre_that_is_not_there(self, visit: Visit, fragment: str, title: str, link: str) -> None:
        visit.open(fragment)
        expect(visit.page.get_by_role("heading", level=1)).to_have_text(title)
        visit.page.get_by_role("link", name=link).click()
        expect(visit.page.get_by_role("heading", level=1)).to_contain_text("25 June 2024")

    def test_loading_is_told(self, visit: Visit) -> None:
        held: list[Route] = []
        visit.page.add_init_script(f"sessionStorage.setItem('music-kpi-api-key', {json.dumps(API_KEY)})")
        visit.page.route("**/v1/days?**", lambda route: held.append(route))
        visit.page.goto(visit.address)

        expect(visit.page.locator("main[aria-busy=true] .skeleton").first).to_be_visible()
        expect(visit.page.locator("#status")).to_have_text("Loading")
        held[0].continue_()
        visit.loaded()
        expect(visit.page.locator("#status")).to_contain_text("25 June 2024")

    def test_a_view_that_was_left_does_not_come_back(self, visit: Visit) -> None:
        held: list[Route] = []
        visit.open(f"#day={DAY}")
        visit.page.route(f"**/v1/days/{DAY_BEFORE}", lambda route: held.append(route))
        visit.page.get_by_role("button", name="Earlier day").click()
        expect(visit.page.locator("main[aria-busy=true]")).to_be_visible()
        visit.page.get_by_role("button", name="Earlier day").click()

        expect(visit.page.get_by_role("heading", level=1)).to_contain_text("23 June 2024")


class TestForEverybody:
    """Keyboard, screen reader, telephone, and a network without the world."""

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("fragment", ["", f"#day={DAY}&genre=rock%20%2F%20pop%20%231", "#day=2023-01-01", None])
    def test_axe_finds_nothing_to_complain_of(self, visit: Visit, fragment: str | None, scheme: Any) -> None:  # noqa: ANN401
        visit.page.emulate_media(color_scheme=scheme)
        visit.open(fragment or "", key=None if fragment is None else API_KEY)

        found = Axe().run(visit.page)

        assert found.violations_count == 0, found.generate_report()

    @pytest.mark.parametrize("fragment", ["", f"#day={DAY}&genre={'x' * 200}"])
    def test_a_telephone_scrolls_down_and_never_sideways(self, visit: Visit, fragment: str) -> None:
        visit.page.set_viewport_size({"width": 360, "height": 740})
        visit.open(fragment)
        assert visit.page.evaluate("document.documentElement.scrollWidth") == 360

    def test_nothing_but_the_api_is_asked(self, visit: Visit) -> None:
        asked: list[str] = []
        visit.page.on("request", lambda request: asked.append(request.url))
        visit.open(f"#day={DAY}&genre=pop")
        assert asked
        assert all(url.startswith((visit.address, "data:")) for url in asked)

    def test_a_script_of_somebody_else_does_not_run(self, visit: Visit) -> None:
        visit.open()
        visit.page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hurt = 1'}))"
        )
        assert visit.page.evaluate("window.hurt") is None
        assert "Content Security Policy" in visit.complaints.pop()

    def test_the_address_without_the_last_slash_works(self, visit: Visit) -> None:
        visit.page.goto(visit.address.rstrip("/"))
        visit.loaded()


def test_a_missing_browser_is_told_in_one_sentence_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsers, "NAMES", ("a-browser-that-is-not-there",))
    with pytest.raises(BrowserMissingError, match="Chromium is missing: install it with «sudo apt-get install"):
        chromium_path()
