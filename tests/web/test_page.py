"""The page, in a browser, on a running service: each view, by mouse, by keys and by its links."""

import csv
import gzip
import json
import re
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from axe_playwright_python import base as axe
from playwright.sync_api import expect

from service.clock import format_time, parse_time
from service.keys import Keys
from tests.processes import WAIT_SECONDS, Wakeful, wakeful
from tests.web.conftest import HOSTILE, NDJSON, START, Looked, send, stream_view, waves

VIEWS = {
    "now": ("#/", "open"),
    "streams": ("#/streams", "Streams"),
    "one stream": ("#/streams/web-1?range=1h", "web-1"),
    "episodes": ("#/episodes", "Episodes"),
    "dead letters": ("#/dead-letters", "Dead letters"),
    "mutes": ("#/mutes", "Mutes"),
    "settings": ("#/settings", "Settings"),
    "the API": ("#/api", "API"),
}
FILLED = {  # what is there once the view is whole
    "now": "table.heat canvas",
    "streams": "tbody a",
    "one stream": "figure canvas",
    "episodes": "tbody a",
    "dead letters": "tbody details",
    "mutes": "#mute-add",
    "settings": "article code",
    "the API": "details",
}
LARGEST_FIRST_VIEW = 200 * 1024


def open_view(looked: Looked, name: str) -> None:
    looked.open(*VIEWS[name])
    looked.page.locator(FILLED[name]).first.wait_for()


def worst_episode(served: Wakeful, stream: str = "web-1") -> dict[str, Any]:
    episode: dict[str, Any] = served.get(f"/api/v1/episodes?stream={quote(stream)}")["items"][0]
    return episode


def violations(page: Any) -> list[str]:
    """What axe finds; injected by the debugger, so that the content policy stays as it is."""
    page.evaluate(axe.AXE_SCRIPT)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
@pytest.mark.parametrize("view", VIEWS)
def test_each_view_is_accessible_and_fits(
    looked: Looked, view: str, scheme: str, width: int
) -> None:
    looked.page.emulate_media(color_scheme=scheme)
    looked.page.set_viewport_size({"width": width, "height": 800})
    open_view(looked, view)
    assert violations(looked.page) == []
    assert looked.page.evaluate("document.documentElement.scrollWidth") <= width


def test_an_episodes_view_says_what_since_when_and_what_is_to_blame(
    looked: Looked, served: Wakeful
) -> None:
    episode = worst_episode(served)
    looked.open(f"#/episodes/{quote(episode['id'], safe='')}", "web-1")
    looked.page.locator("figure canvas").first.wait_for()
    verdict = looked.page.locator(".verdict")
    expect(verdict).to_contain_text(episode["severity"])
    expect(verdict).to_contain_text(episode["began"])
    expect(looked.page.locator(".facts").first).to_contain_text(
        episode["start"].replace("T", " ").replace("Z", " UTC")
    )
    shares = looked.page.locator(".blamed li").all_text_contents()
    assert [text.split()[0] for text in shares] == [one["feature"] for one in episode["features"]]
    headings = looked.page.locator("main h2").all_inner_texts()
    assert headings.index("Around it") < headings.index("To blame, at the peak")
    assert violations(looked.page) == []


def test_an_episode_and_its_chart_say_the_same_numbers(looked: Looked, served: Wakeful) -> None:
    """What charts draw is kept rounded: of the peak they tell what was told."""
    episode = worst_episode(served)
    looked.open(f"#/episodes/{quote(episode['id'], safe='')}", "web-1")
    looked.page.locator("figure canvas").first.wait_for()
    score = f"{episode['score']:.2f}"
    expect(looked.page.locator(".facts").first).to_contain_text(f"{score} (1 is the threshold)")
    expect(looked.page.locator(".readout")).to_contain_text(f"(highest score) · score {score}")
    expect(looked.page.locator("figcaption .value").first).to_contain_text(score)
    worst = episode["features"][0]
    band = f"expected {worst['low']:.4g} to {worst['high']:.4g}"
    expect(looked.page.locator("figcaption .value").nth(1)).to_contain_text(band)


def test_an_episode_says_what_would_have_been_normal_and_when_it_was_like_this(
    looked: Looked, served: Wakeful
) -> None:
    events = waves("repeating", 600, broken=1)
    for k in range(20):  # as it will be at the end, in another scale
        events[400 + k]["cpu"] = 3.0 * events[580 + k]["cpu"] - 0.5
    send(served, events)
    episode = worst_episode(served, "repeating")
    told = served.get(f"/api/v1/anomalies/{episode['id']}/why")
    looked.open(f"#/episodes/{quote(episode['id'], safe='')}", "repeating")
    why = looked.page.locator(".why")
    expect(why.locator(".normally").first).to_have_text(f"{told['counterfactual']['says']}.")
    links = looked.page.locator(".past .similar a")
    expect(links).to_have_count(len(told["similar"]))
    assert violations(looked.page) == []
    links.first.click()
    looked.page.locator("h1", has_text="repeating").wait_for()
    start, end = (float(x) for x in re.findall(r"(?:start|end)=([\d.]+)", looked.page.url))
    assert start < START + 60 * 419 < end


@pytest.mark.parametrize("view", ["stream", "episode"])
def test_terms_say_what_they_mean_to_who_opens_them(
    looked: Looked, served: Wakeful, view: str
) -> None:
    """By keys, and they stay open when what is around them is drawn again."""
    stream = f"explained-{view}"
    events = waves(stream, 320, broken=1)
    send(served, events)
    episode = quote(worst_episode(served, stream)["id"], safe="")
    looked.open(stream_view(stream) if view == "stream" else f"#/episodes/{episode}", stream)
    for term, part in (
        ("Level", "1 is its usual, and it stays up"),
        ("Tail probability", "blocks of 50 events"),
        ("Threshold", "false alarms a week that you allow"),
    ):
        said = looked.page.get_by_text(part)
        expect(said).to_be_hidden()
        looked.page.locator("summary", has_text=term).focus()
        looked.page.keyboard.press("Enter")
        expect(said).to_be_visible()
    if view == "stream":
        send(served, [{**events[-1], "time": events[-1]["time"] + 60}])
        expect(looked.page.locator(".facts")).to_contain_text("321")
        expect(said).to_be_visible()
    assert violations(looked.page) == []


def test_what_was_never_there_before_is_said(looked: Looked, served: Wakeful) -> None:
    episode = worst_episode(served)
    looked.open(f"#/episodes/{quote(episode['id'], safe='')}", "web-1")
    expect(looked.page.locator(".past")).to_contain_text("This stream has never been here")


def test_the_first_view_shows_open_episodes_the_worst_first(
    looked: Looked, served: Wakeful
) -> None:
    open_view(looked, "now")
    episodes = served.get("/api/v1/episodes?state=open")["items"]
    expect(looked.page.locator(".episode")).to_have_count(len(episodes))
    headline = looked.page.locator("h1").inner_text()
    assert headline.startswith(f"{len(episodes)} episodes open")
    expect(looked.page.locator("#state")).to_contain_text(f"{len(episodes)} episodes open")
    words = looked.page.locator(".episode .word").all_inner_texts()
    assert words.count("critical") == sum(one["severity"] == "critical" for one in episodes)
    assert words == sorted(words, key=["critical", "major", "minor"].index)
    expect(looked.page.locator(".tiles")).to_contain_text("Events per second")
    assert "web-1" in " ".join(looked.page.locator(".episode").all_inner_texts())


def test_an_old_critical_episode_is_not_hidden_by_many_minor_ones(
    looked: Looked, served: Wakeful
) -> None:
    """Nor is a long one that ended last by those that began later."""
    one = worst_episode(served)
    present = served.get("/api/v1/now")["event_time"]

    def made(name: str, severity: str, start: float, end: float, state: str) -> dict[str, Any]:
        times = {"start": format_time(start), "end": format_time(end)}
        score = {"critical": 3.0, "major": 2.0, "minor": 1.0}[severity]
        said = {"severity": severity, "score": score, "state": state}
        return {**one, "id": name, "stream": name, **said, **times}

    def at(n: int, severity: str = "minor", state: str = "open") -> dict[str, Any]:
        start = present - 600 + n
        return made(f"{severity}-{state}-{n}", severity, start, start + 100, state)

    long = made("long", "minor", present - 2 * 86_400, present - 60, "closed")

    def answer(route: Any) -> None:
        asked = parse_qs(urlsplit(route.request.url).query)
        if asked["state"] == ["closed"]:
            items = [at(n, state="closed") for n in range(9, 0, -1)] + [long]
            return route.fulfill(json={"items": items[: int(asked["limit"][0])]})
        severity = asked.get("severity", ["minor"])[0]
        items = [at(n, severity) for n in range(1 if "severity" in asked else 50)]
        return route.fulfill(json={"items": items, "next_cursor": "7"})

    def many(route: Any) -> None:
        route.fulfill(json={**route.fetch().json(), "open_episodes": 120})

    looked.page.route("**/api/v1/episodes?*state=*", answer)
    looked.page.route("**/api/v1/now", many)
    looked.open("#/", "among them 1 critical, 1 major, 50 minor")
    expect(looked.page.locator(".episode .word").first).to_have_text("critical")
    lately = looked.page.locator(".part-lately tbody tr")
    expect(lately).to_have_count(5)
    expect(lately.first).to_contain_text("long")
    looked.page.unroute_all(behavior="wait")


def test_episodes_of_streams_that_fell_silent_are_quiet(looked: Looked, served: Wakeful) -> None:
    """Nothing closes them. A few are shown as others are, many do not stand among those."""
    names = [f"silent-{n}" for n in range(4)]
    for name in names[:1]:
        send(served, waves(name, 400, broken=1, start=START - 30 * 86_400))
    open_view(looked, "now")
    card = looked.page.locator(".episode", has_text="silent-0")
    expect(card).to_contain_text("quiet for 30 d")
    expect(looked.page.locator("#quiet-ones")).to_have_count(0)
    for name in names[1:]:
        send(served, waves(name, 400, broken=1, start=START - 30 * 86_400))
    expect(looked.page.locator("h1")).to_contain_text("4 quiet for a day")
    expect(looked.page.locator(".episode", has_text="silent")).to_have_count(0)
    expect(looked.page.locator("#quiet-ones")).to_contain_text(
        worst_episode(served, names[0])["severity"]
    )
    looked.page.locator("#quiet-ones").click()
    quiet = looked.page.locator(".quiet-ones tbody tr")
    expect(quiet).to_have_count(4)
    expect(quiet.first).to_contain_text("open, quiet for 30 d")
    assert violations(looked.page) == []
    for name in names:
        send(served, waves(name, 20, start=START))


def test_the_heat_map_has_the_streams_that_were_anomalous_first(
    looked: Looked, served: Wakeful
) -> None:
    """Also one that is calm again: a stream is as surprising as its worst event in that time."""
    events = waves("was-bad", 620, broken=0)
    events[590]["cpu"] += 9.0
    send(served, events)
    looked.open("#/?span=1d", "open")
    rows = looked.page.locator("table.heat tbody tr", has_text="was-bad")
    expect(rows).to_have_count(1)
    expect(rows.locator(".badge")).to_contain_text(re.compile(r"[1-9]"))
    highest = [float(one) for one in looked.page.locator("table.heat .badge").all_inner_texts()]
    assert highest == sorted(highest, reverse=True)


def test_a_stream_whose_scores_another_instance_keeps_is_not_called_normal(
    looked: Looked,
) -> None:
    def empty(route: Any) -> None:
        told = route.fetch().json()
        first = told["rows"][0]
        first["scores"] = [None] * len(first["scores"])
        route.fulfill(json=told)

    looked.page.route("**/api/v1/heatmap?*", empty)
    looked.open("#/?span=1d", "open")
    rows = looked.page.locator("table.heat tbody tr")
    expect(rows.last).to_contain_text("none kept here")
    expect(rows.last.locator(".badge")).to_have_count(0)
    expect(rows.first.locator(".badge")).to_have_count(1)
    assert "detector=default" in rows.first.locator("a").get_attribute("href")
    looked.page.unroute_all(behavior="wait")


INKED = """([canvas, ink]) => {
  const probe = document.createElement("i");
  probe.style.color = `var(--${ink})`;
  document.body.append(probe);
  const [r, g, b] = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
  probe.remove();
  const top = 16 * devicePixelRatio; // the bar of an episode
  const { data } = canvas.getContext("2d").getImageData(0, top, canvas.width, canvas.height - top);
  let n = 0;
  for (let i = 0; i < data.length; i += 4)
    n += data[i] === r && data[i + 1] === g && data[i + 2] === b && data[i + 3] === 255;
  return n;
}"""


@pytest.mark.parametrize("view", ["stream", "episode"])
def test_only_the_features_to_blame_are_marked_and_they_come_first(
    looked: Looked, served: Wakeful, view: str
) -> None:
    stream = f"one-to-blame-{view}"
    events = waves(stream, 400)
    events[399]["latency_ms"] += 200.0
    send(served, events)
    episode = worst_episode(served, stream)
    at = f"#/episodes/{quote(episode['id'], safe='')}" if view == "episode" else stream_view(stream)
    looked.open(at, stream)
    figures = looked.page.locator("figure")
    expect(figures.locator("h3")).to_have_text(["Score", "latency_ms", "cpu"])
    canvases = [figures.nth(n).locator("canvas").element_handle() for n in (1, 2)]
    blamed, innocent = (looked.page.evaluate(INKED, [one, episode["severity"]]) for one in canvases)
    assert (blamed > 10, innocent) == (True, 0)


def test_what_was_suppressed_is_told_where_it_is_seen(looked: Looked, served: Wakeful) -> None:
    mute = {"stream": "hushed", "start": str(START), "end": str(START + 86_400)}
    made = served.post("/api/v1/mutes", json.dumps(mute).encode())
    send(served, waves("hushed", 400, broken=1))
    looked.open(stream_view("hushed"), "hushed")
    told = looked.page.locator("#suppressed")
    expect(told).to_contain_text("1 anomalous event here was suppressed by a mute")
    assert violations(looked.page) == []
    served.delete(f"/api/v1/mutes/{made['id']}")


def test_a_chart_that_is_thinned_has_the_peak(looked: Looked, served: Wakeful) -> None:
    """Also where another event with the same rounded score stands for it."""
    events = waves("thinned", 1500, start=START - 60 * 1000)
    for event in events[:1400:100]:
        event["cpu"] += 5.0
    send(served, events)
    episode = worst_episode(served, "thinned")
    peak = parse_time(served.get(f"/api/v1/anomalies/{episode['peak']}")["time"])

    def thin(route: Any) -> None:
        route.fulfill(json=without(route.fetch().json(), peak))

    looked.page.route("**/scores?*", thin)
    looked.open(f"#/episodes/{quote(episode['id'], safe='')}", "thinned")
    expect(looked.page.locator(".readout")).to_contain_text(f"score {episode['score']:.2f}")
    looked.page.unroute_all(behavior="wait")


def without(scores: dict[str, Any], time: float) -> dict[str, Any]:
    """Columns as if thinning had left an event out."""
    keep = [i for i, one in enumerate(scores["times"]) if abs(one - time) > 0.5]
    features = {
        name: {kind: [column[i] for i in keep] for kind, column in columns.items()}
        for name, columns in scores["features"].items()
    }
    shorter = {name: [scores[name][i] for i in keep] for name in ("times", "scores")}
    return {**scores, **shorter, "features": features, "thinned": True}


def test_nothing_is_asked_of_another_host_and_little_is_sent(looked: Looked) -> None:
    sizes: dict[str, int] = {}
    looked.page.on(
        "response",
        lambda reply: sizes.update({reply.url: int(reply.headers.get("content-length", 0))}),
    )
    open_view(looked, "now")
    assert all(url.startswith(looked.address) for url in sizes)
    assert 20_000 < sum(sizes.values()) < LARGEST_FIRST_VIEW


def test_the_content_policy_holds(looked: Looked) -> None:
    reply = looked.page.goto(looked.address)
    policy = reply.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    looked.expected = ("Content Security Policy", "Content-Security-Policy")
    looked.page.evaluate(
        """const script = document.createElement("script");
        script.text = "window.ran = 1";
        document.body.append(script);"""
    )
    assert looked.page.evaluate("window.ran") is None


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_only_ever_a_name(looked: Looked, name: str) -> None:
    looked.open(f"#/streams?search={quote(name)}", "Streams")
    link = looked.page.locator("tbody th a")
    expect(link).to_have_count(1)
    assert link.inner_text() == name
    link.click()
    looked.page.locator("figure canvas").first.wait_for()
    assert looked.page.locator("h1").inner_text() == name
    address = looked.page.url
    looked.page.reload()
    looked.page.locator("h1", has_text=name[:20]).wait_for()
    assert looked.page.url == address
    assert looked.page.evaluate("document.querySelectorAll('img').length") == 0
    looked.page.set_viewport_size({"width": 360, "height": 740})
    assert looked.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_streams_are_searched_and_a_link_restores_the_search(looked: Looked) -> None:
    open_view(looked, "streams")
    looked.page.keyboard.press("/")
    looked.page.keyboard.type("WEB-")
    names = looked.page.locator("tbody th")
    expect(names).to_have_count(2)
    expect(looked.page.locator("#find-search")).to_be_focused()
    assert "search=WEB-" in looked.page.url
    looked.page.reload()
    expect(names).to_have_count(2)
    expect(looked.page.locator("#find-search")).to_have_value("WEB-")
    looked.page.locator("#find-search").fill("nobody has this name")
    expect(looked.page.locator(".nothing")).to_be_visible()


def test_streams_come_page_by_page(looked: Looked) -> None:
    looked.open("#/streams", "Streams")
    names = looked.page.locator("tbody th")
    expect(names).to_have_count(50)
    first = names.all_inner_texts()
    looked.page.get_by_role("link", name="Next page").click()
    expect(names.first).not_to_have_text(first[0])
    assert not set(first) & set(names.all_inner_texts())
    looked.page.get_by_role("link", name="First page").click()
    expect(names.first).to_have_text(first[0])


def test_streams_are_sorted_by_score(looked: Looked, served: Wakeful) -> None:
    open_view(looked, "streams")
    looked.page.get_by_label("Sort by").select_option("score")
    told = served.get("/api/v1/streams?sort=score&limit=50")["items"]
    assert told[0]["score"] > 1 > told[-1]["score"]
    rows = looked.page.locator("tbody tr td:nth-child(3)")
    expect(rows).to_have_text([f"{one['score']:.2f}" for one in told])


def test_a_charts_cursor_moves_by_keys_and_is_read_aloud(looked: Looked, served: Wakeful) -> None:
    open_view(looked, "one stream")
    told = looked.page.locator(".readout")
    plots = looked.page.get_by_role("application")
    expect(plots).to_have_count(3)  # the score, and two features
    plots.nth(1).focus()
    looked.page.keyboard.press("Home")
    expect(told).not_to_contain_text("newest")
    expect(told).to_have_attribute("aria-live", "polite")
    first = told.inner_text()
    looked.page.keyboard.press("ArrowRight")
    expect(told).not_to_have_text(first)
    looked.page.keyboard.press("End")
    last = served.get("/api/v1/streams/web-1")["time"].replace("T", " ").replace("Z", "")
    expect(told).to_contain_text(last)
    expect(looked.page.locator("figcaption .share").first).to_contain_text("of the surprise")
    lefts = looked.page.evaluate(
        "[...document.querySelectorAll('.u-cursor-x')].map(line => line.style.transform)"
    )
    assert len(set(lefts)) == 1, "all charts have one cursor"


def test_a_drag_puts_its_time_into_the_link(looked: Looked) -> None:
    open_view(looked, "one stream")
    box = looked.page.locator(".u-over").first.bounding_box()
    y = box["y"] + box["height"] / 2
    looked.page.mouse.move(box["x"] + box["width"] * 0.25, y)
    looked.page.mouse.down()
    looked.page.mouse.move(box["x"] + box["width"] * 0.75, y, steps=4)
    looked.page.mouse.up()
    looked.page.wait_for_url(re.compile("start="))
    start, end = (float(x) for x in re.findall(r"(?:start|end)=([\d.]+)", looked.page.url))
    assert end - start == pytest.approx(1800, rel=0.02)
    assert start == pytest.approx(START + 60 * 599 - 2700, abs=60)
    looked.page.reload()
    looked.page.locator("figure canvas").first.wait_for()
    looked.page.get_by_text("Show as table").first.click()
    rows = looked.page.locator("figure details[open] tbody tr")
    expect(rows).to_have_count(30)


def test_ranges_count_from_the_streams_newest_event(looked: Looked) -> None:
    open_view(looked, "one stream")
    looked.page.get_by_role("link", name="15 min").click()
    looked.page.wait_for_url(re.compile("range=15m"))
    looked.page.locator("figure canvas").first.wait_for()
    looked.page.get_by_text("Show as table").first.click()
    expect(looked.page.locator("figure details[open] tbody tr")).to_have_count(16)


def test_a_time_without_events_says_so(looked: Looked) -> None:
    looked.expected = ("404",)
    looked.open(stream_view("web-1", "?start=1&end=1000"), "web-1")
    expect(looked.page.locator(".nothing").first).to_contain_text("Choose a longer range")


def test_what_the_memory_kept_and_let_go_is_asked_for_once_it_is_opened(
    looked: Looked, served: Wakeful
) -> None:
    asked: list[str] = []
    looked.page.on("request", lambda request: asked.append(request.url))
    open_view(looked, "one stream")
    assert not any("web-1/gates" in url for url in asked)
    summary = looked.page.get_by_text("What the memory kept and let go")
    summary.focus()
    looked.page.keyboard.press("Enter")
    part = looked.page.locator(".gates")
    part.locator("canvas").wait_for()
    told = served.get("/api/v1/streams/web-1/gates?feature=cpu")
    newest = told["resolutions"][0]["forget"][-1]
    expect(part.locator(".value")).to_contain_text(f"forget gate {newest:.3g}")
    for name in ("forget gate", "input gate", "output gate", "written"):
        expect(part.locator(".legend")).to_contain_text(name)
    dashes = part.locator(".legend path").evaluate_all(
        "lines => lines.map(line => line.getAttribute('stroke-dasharray'))"
    )
    assert len(set(dashes)) == 4, "told apart without colour"
    part.get_by_role("application").focus()
    looked.page.keyboard.press("Home")
    expect(part.locator(".value")).not_to_contain_text(f"forget gate {newest:.3g}")
    part.get_by_label("Read").select_option("means of 24 events")
    expect(part.locator("tbody tr")).to_have_count(3)  # of the hour that is shown
    part.get_by_label("Feature").focus()
    part.get_by_label("Feature").select_option("latency_ms")
    expect(part.get_by_label("Feature")).to_be_focused()
    expect(part.get_by_label("Feature")).to_have_value("latency_ms")
    part.locator("canvas").wait_for()
    assert violations(looked.page) == []


def test_buttons_are_about_what_is_shown_when_they_are_clicked(
    looked: Looked, served: Wakeful
) -> None:
    """The page was opened two hours before, when another event was the worst one shown."""
    stream, page = "goes-on", looked.page
    events = waves(stream, 420)
    events[290]["cpu"] += 5.0
    events[400]["cpu"] += 0.6
    send(served, events[:300])
    looked.open(stream_view(stream, "?range=1h"), stream)
    expect(page.locator("dl.facts").first).to_contain_text("300")
    send(served, events[300:])
    expect(page.locator("dl.facts").first).to_contain_text("420")
    newest = events[-1]["time"]
    expect(page.locator(".readout")).to_contain_text(format_time(newest)[11:19])
    page.get_by_role("button", name="8 hours").click()
    expect(page.get_by_role("row", name=stream)).to_be_visible()
    (made,) = served.get(f"/api/v1/mutes?stream={stream}")["items"]
    assert (parse_time(made["start"]), parse_time(made["end"])) == (newest, newest + 8 * 3600)
    served.delete(f"/api/v1/mutes/{made['id']}")
    page.get_by_role("button", name="missed anomaly").click()
    expect(page.locator(".said")).to_contain_text("was a missed anomaly")
    (said,) = served.get(f"/api/v1/feedback?stream={stream}")["items"]
    assert parse_time(said["time"]) == pytest.approx(events[400]["time"], abs=1.0)


def test_a_mute_that_was_not_answered_is_one_at_a_second_click(
    looked: Looked, served: Wakeful
) -> None:
    looked.expected = ("503",)
    stream, page = "slow-to-mute", looked.page
    send(served, waves(stream, 30))
    answers = iter([503])

    def late(route: Any) -> None:
        reply = route.fetch()
        problem = {"status": 503, "detail": "it has begun"}
        if route.request.method == "POST" and next(answers, None):
            return route.fulfill(status=503, json=problem)
        return route.fulfill(response=reply)

    page.route("**/api/v1/mutes*", late)
    looked.open(stream_view(stream), stream)
    button = page.get_by_role("button", name="8 hours")
    button.click()
    expect(page.get_by_role("alert").filter(has_text="it has begun")).to_be_visible()
    button.click()
    expect(page.get_by_role("row", name=stream)).to_be_visible()
    (made,) = served.get(f"/api/v1/mutes?stream={stream}")["items"]
    served.delete(f"/api/v1/mutes/{made['id']}")
    page.unroute_all(behavior="wait")


FORMATTED = """async ([address, name, values]) => {
  localStorage.setItem("times", "local");
  const format = await import(`${address}/web/format.js`);
  return values.map(value => format[name](value));
}"""


def test_numbers_that_differ_look_different(looked: Looked) -> None:
    open_view(looked, "streams")
    numbers = {100_100.4: "100,100", 100_098: "100,098", -12_345: "-12,345", 123.456: "123.5"}
    scores = {0.5: "0.50", 0.996: "0.99", 1.0: "1.00", 2.504: "2.50"}
    for name, told in (("number", numbers), ("scoreText", scores)):
        asked = [looked.address, name, list(told)]
        assert looked.page.evaluate(FORMATTED, asked) == list(told.values())


def test_a_local_time_is_told_with_the_offset_that_it_had(served: Wakeful, browser: Any) -> None:
    context = browser.new_context(timezone_id="Europe/Berlin")
    page = context.new_page()
    page.goto(served.address)
    winter, summer = 1_767_225_600, 1_782_864_000
    told = page.evaluate(FORMATTED, [served.address, "whenThere", [winter, summer]])
    assert told == ["2026-01-01 01:00:00 UTC+01:00", "2026-07-01 02:00:00 UTC+02:00"]
    context.close()


def test_times_near_1970_are_shown(looked: Looked, served: Wakeful) -> None:
    send(served, waves("the-first-hour", 40, start=60.0))
    looked.open(stream_view("the-first-hour", "?range=7d"), "the-first-hour")
    expect(looked.page.locator("figure canvas").first).to_be_visible()
    looked.page.get_by_role("link", name="Wider").click()
    looked.page.wait_for_url(re.compile("start=0.000"))
    expect(looked.page.locator("figure canvas").first).to_be_visible()
    expect(looked.page.locator(".trouble")).to_have_count(0)


def test_new_events_appear_by_themselves(looked: Looked, served: Wakeful) -> None:
    stream = "growing"
    events = waves(stream, 320)
    send(served, events[:300])
    looked.open(stream_view(stream, "?range=1h"), stream)
    told = looked.page.locator(".readout")
    expect(told).to_contain_text("newest")
    before = told.inner_text()
    send(served, events[300:])
    expect(told).not_to_have_text(before)
    expect(looked.page.locator("dl.facts").first).to_contain_text("320")


def test_an_episode_that_opens_appears_on_the_first_view(looked: Looked, served: Wakeful) -> None:
    events = waves("breaks", 400, broken=2)
    send(served, events[:-2])
    open_view(looked, "now")
    expect(looked.page.locator("#state")).to_contain_text("· live")
    cards = looked.page.locator(".episode", has_text="breaks")
    expect(cards).to_have_count(0)
    send(served, events[-2:])
    expect(cards).to_have_count(1)


def test_without_the_live_route_the_page_asks_and_says_so(looked: Looked, served: Wakeful) -> None:
    looked.expected = ("ERR_FAILED", "Failed to load resource")
    looked.page.route("**/api/v1/live", lambda route: route.abort())
    open_view(looked, "now")
    expect(looked.page.locator("#state")).to_contain_text("live updates are away")
    send(served, waves("polled", 400, broken=2))
    expect(looked.page.locator(".episode", has_text="polled")).to_have_count(1)


def test_an_error_is_shown_where_its_data_would_be(looked: Looked) -> None:
    looked.expected = ("503",)
    problem = {"title": "Service Unavailable", "status": 503, "detail": "history: locked"}
    looked.page.route(
        "**/api/v1/heatmap*",
        lambda route: route.fulfill(
            status=503, content_type="application/problem+json", body=json.dumps(problem)
        ),
    )
    looked.open("#/", "open")
    expect(looked.page.locator(".part-heat .trouble")).to_contain_text("history: locked")
    expect(looked.page.locator(".episode").first).to_be_visible()


def test_keys_open_the_views_and_the_help(looked: Looked) -> None:
    open_view(looked, "now")
    for key, heading in (("s", "Streams"), ("e", "Episodes"), ("n", "open")):
        looked.page.keyboard.press("g")
        looked.page.keyboard.press(key)
        looked.page.locator("h1", has_text=heading).wait_for()
    looked.page.keyboard.press("?")
    dialog = looked.page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    assert violations(looked.page) == []
    looked.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    looked.page.keyboard.press("/")
    expect(looked.page.locator("#find-search")).to_be_focused()
    looked.page.keyboard.type("gs?")
    expect(looked.page.locator("#find-search")).to_have_value("gs?")
    expect(dialog).to_be_hidden()


def test_the_heat_map_is_walked_by_keys_and_opens_a_stream(looked: Looked) -> None:
    open_view(looked, "now")
    links = looked.page.locator("table.heat th a")
    links.first.focus()
    looked.page.keyboard.press("ArrowLeft")
    expect(looked.page.locator(".part-heat .readout")).to_contain_text(links.first.inner_text())
    looked.page.keyboard.press("ArrowDown")
    expect(links.nth(1)).to_be_focused()
    name = links.nth(1).inner_text()
    looked.page.keyboard.press("Enter")
    looked.page.locator("h1", has_text=name).wait_for()


def test_episodes_are_filtered_and_the_link_keeps_the_filter(
    looked: Looked, served: Wakeful
) -> None:
    open_view(looked, "episodes")
    looked.page.get_by_label("Stream (whole name)").fill("web-2")
    rows = looked.page.locator("tbody tr")
    mine = served.get("/api/v1/episodes?stream=web-2")["items"]
    expect(rows).to_have_count(len(mine))
    looked.page.reload()
    expect(rows).to_have_count(len(mine))
    looked.page.get_by_label("State").select_option("closed")
    expect(looked.page.locator(".nothing")).to_be_visible()
    assert "state=closed" in looked.page.url


def test_dead_letters_are_filtered_and_shown_as_they_came(looked: Looked) -> None:
    open_view(looked, "dead letters")
    looked.page.get_by_label("Reason").select_option("bad_time")
    expect(looked.page.locator("tbody tr")).to_have_count(1)
    looked.page.locator("tbody summary").click()
    expect(looked.page.locator("pre")).to_contain_text("yesterday")


def test_the_theme_is_chosen_and_kept(looked: Looked) -> None:
    looked.page.emulate_media(color_scheme="light")
    open_view(looked, "settings")
    background = "getComputedStyle(document.body).backgroundColor"
    light = looked.page.evaluate(background)
    looked.page.get_by_label("Dark").check()
    dark = looked.page.evaluate(background)
    assert dark != light
    looked.page.reload()
    looked.page.locator(FILLED["settings"]).first.wait_for()
    assert looked.page.evaluate(background) == dark


def test_a_missing_stream_and_a_wrong_address_are_said(looked: Looked) -> None:
    looked.expected = ("404",)
    looked.open(stream_view("nobody"), "nobody")
    expect(looked.page.locator(".trouble")).to_contain_text("no stream 'nobody'")
    looked.open("#/nowhere", "No such page")
    looked.open("#/streams/%E0%A4%A", "No such page")


def test_a_service_with_a_token_is_opened_with_it(looked: Looked, tmp_path: Path) -> None:
    looked.expected = ("401",)
    token = {"WAKEFUL_API__TOKEN": "a-token-of-sixteen-or-more"}
    with wakeful("serve", "--port", "0", "--data-dir", str(tmp_path), environment=token) as closed:
        looked.page.goto(closed.address)
        field = looked.page.get_by_label("The API asks for a key")
        expect(field).to_be_focused()
        field.fill("wrong")
        looked.page.keyboard.press("Enter")
        expect(looked.page.get_by_role("alert")).to_contain_text("this is no key")
        assert looked.page.locator("body").inner_text().count("asks for a key") == 1
        expect(field).to_be_visible()
        field.fill(token["WAKEFUL_API__TOKEN"])
        looked.page.keyboard.press("Enter")
        expect(looked.page.locator("h1")).to_contain_text("No episode is open")
        expect(looked.page.locator("#state")).to_have_text("watching · live")
        expect(field).to_be_hidden()
        empty = looked.page.locator(".part-heat .nothing")
        expect(empty).to_contain_text("POST it to api/v1/events")
        assert violations(looked.page) == []
        assert looked.page.evaluate("document.cookie + JSON.stringify(sessionStorage)") == "{}"
        looked.page.goto(f"{closed.address}/#/mutes")
        looked.page.get_by_label("Streams, *").fill("web-*")
        looked.page.get_by_role("button", name="Mute", exact=True).click()
        expect(looked.page.locator("tbody tr")).to_have_count(1)
        looked.page.goto(f"{closed.address}/#/settings")
        expect(looked.page.locator(".who")).to_contain_text("Opened as api.token, admin")
        looked.page.get_by_role("button", name="Forget the key").click()
        expect(field).to_be_visible()
        looked.page.goto("about:blank")  # or its live connection breaks with the service


def test_a_viewers_page_has_no_buttons_that_would_be_refused(
    looked: Looked, tmp_path: Path
) -> None:
    shown = Keys(tmp_path / "keys.json").create("night watch", "viewer", None, "", None)
    settings = {"WAKEFUL_API__TOKEN": "a-token-of-sixteen-or-more"}
    bearer = {"Authorization": "Bearer a-token-of-sixteen-or-more"}
    with wakeful("serve", "--port", "0", "--data-dir", str(tmp_path), environment=settings) as one:
        body = "\n".join(json.dumps(event) for event in waves("web-1", 400, broken=1))
        post = urllib.request.Request(  # noqa: S310 - http, ours
            f"{one.address}/api/v1/events?scores=true",
            body.encode(),
            bearer | {"content-type": NDJSON},
        )
        urllib.request.urlopen(post, timeout=WAIT_SECONDS).close()  # noqa: S310
        looked.expected = ("401",)
        looked.page.goto(f"{one.address}/#/mutes")
        looked.page.get_by_label("The API asks for a key").fill(shown)
        looked.page.keyboard.press("Enter")
        expect(looked.page.locator("main")).to_contain_text(
            "to mute, or to end a mute, asks for an operator's"
        )
        expect(looked.page.locator("main button")).to_have_count(0)
        looked.page.goto(f"{one.address}/#/episodes")
        looked.page.locator("tbody th a").first.click()
        expect(looked.page.locator(".said-of-it")).to_contain_text("Nobody has acknowledged it")
        expect(looked.page.locator(".said-of-it")).to_contain_text("a viewer's key")
        expect(looked.page.locator(".said-of-it button")).to_have_count(0)
        assert violations(looked.page) == []
        looked.page.goto(f"{one.address}/{stream_view('web-1')}")
        expect(looked.page.locator("main")).to_contain_text("to mute it asks for an operator's")
        expect(looked.page.get_by_role("button", name="8 hours")).to_have_count(0)
        looked.page.goto("about:blank")


def test_a_real_series_is_drawn_whole_with_its_episodes(
    looked: Looked, served: Wakeful, labelled_data: Path
) -> None:
    file = labelled_data / "nab" / "realKnownCause__nyc_taxi.csv.gz"
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    events = [
        {"stream": "taxi", "time": float(row["timestamp"]), "value": float(row["value"])}
        for row in rows
    ]
    send(served, events)
    looked.open(stream_view("taxi", "?range=all"), "taxi")
    expect(looked.page.locator(".readout")).to_contain_text("thinned")
    expect(looked.page.locator("figure")).to_have_count(2)
    told = served.get("/api/v1/episodes?stream=taxi")["items"]
    listed = looked.page.get_by_role("table", name="Episodes").locator("tbody tr")
    expect(listed).to_have_count(min(len(told), 50))
    assert len(told) > 5


def test_a_person_says_what_an_episode_was(looked: Looked, served: Wakeful) -> None:
    """Acknowledged, noted, marked as no anomaly and not; it stays for the next one who looks."""
    episode = worst_episode(served, "web-2")
    view = f"#/episodes/{quote(episode['id'], safe='')}"
    looked.open(view, "web-2")
    page = looked.page
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator("#acknowledge")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Note").fill("<b>the pump</b>")
    page.get_by_role("button", name="Save the note").click()
    page.get_by_role("button", name="Not an anomaly").click()
    undo = page.get_by_role("button", name="Take back")
    expect(undo).to_be_visible()
    tolerated = served.get("/api/v1/streams/web-2")["tolerated"]
    expect(page.locator(".said-of-it")).to_contain_text(f"only above a score of {tolerated:.2f}.")
    assert violations(page) == []
    looked.open(stream_view("web-2"), "web-2")
    expect(page.locator(".said")).to_contain_text("was no anomaly")
    expect(page.locator(".facts").last).to_contain_text("single events up to a score of")
    page.get_by_role("button", name="Take back").click()
    expect(page.locator(".said")).to_contain_text("taken back")
    expect(page.locator(".facts").last).not_to_contain_text("single events up to")
    looked.open("#/episodes?acknowledged=true", "Episodes")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody")).to_contain_text("<b>the pump</b>")
    looked.open(view, "web-2")
    page.get_by_role("button", name="Acknowledged").click()
    expect(page.locator("#acknowledge")).to_have_attribute("aria-pressed", "false")


def test_a_note_that_somebody_writes_is_kept_while_all_around_it_changes(
    looked: Looked, served: Wakeful
) -> None:
    stream, page = "noted", looked.page
    send(served, waves(stream, 400, broken=1))
    episode = quote(worst_episode(served, stream)["id"], safe="")
    looked.open(f"#/episodes/{episode}", stream)
    field, seen = page.get_by_label("Note"), page.locator("#acknowledge")
    field.fill("the pump, and")
    seen.click()
    expect(seen).to_have_attribute("aria-pressed", "true")
    expect(field).to_have_value("the pump, and")
    field.focus()
    said = json.dumps({"acknowledged": False}).encode()
    patch = urllib.request.Request(  # noqa: S310 - http, ours
        f"{served.address}/api/v1/episodes/{episode}",
        said,
        {"content-type": "application/json"},
        method="PATCH",
    )
    urllib.request.urlopen(patch, timeout=WAIT_SECONDS).close()  # noqa: S310
    expect(seen).to_have_attribute("aria-pressed", "false")
    page.keyboard.type(" its valve")
    expect(field).to_have_value("the pump, and its valve")
    page.get_by_role("button", name="Save the note").click()
    expect(page.get_by_label("Note, as it is saved")).to_have_value("the pump, and its valve")


def test_a_missed_anomaly_is_said_where_it_is_seen(looked: Looked, served: Wakeful) -> None:
    start, end = START + 60 * 560, START + 60 * 600
    looked.open(stream_view("web-1", f"?start={start}&end={end}"), "web-1")
    looked.page.get_by_role("button", name="missed anomaly").click()
    expect(looked.page.locator(".said")).to_contain_text("was a missed anomaly")
    (said,) = served.get("/api/v1/feedback?stream=web-1")["items"]
    assert said["kind"] == "missed"
    looked.page.get_by_role("button", name="Take back").click()
    expect(looked.page.locator(".said")).to_contain_text("taken back")


def test_a_stream_is_muted_and_a_pattern_too(looked: Looked, served: Wakeful) -> None:
    looked.open(stream_view("calm"), "calm")
    page = looked.page
    page.get_by_role("button", name="8 hours").click()
    expect(page.get_by_role("row", name="calm")).to_be_visible()
    (made,) = served.get("/api/v1/mutes?stream=calm")["items"]
    newest = START + 60 * 599
    assert (parse_time(made["start"]), parse_time(made["end"])) == (newest, newest + 8 * 3600)
    looked.open("#/mutes", "Mutes")
    page.get_by_role("button", name="Mute", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="say which streams")).to_be_visible()
    page.get_by_label("Streams, *").fill("<b>*")
    page.get_by_label("Features").fill("cpu, disk")
    page.get_by_label("From, UTC").fill("2026-01-03T02:00")
    page.get_by_label("Until before, UTC").fill("2026-01-03T04:00")
    page.get_by_label("Again").select_option("week")
    page.get_by_role("button", name="Mute", exact=True).click()
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.locator("tbody")).to_contain_text("<b>*")
    expect(page.locator("tbody")).to_contain_text("every week")
    newest = max(one["time"] for one in served.get("/api/v1/streams?sort=score")["items"])
    assert newest < "2026"
    expect(page.locator("main")).to_contain_text(f"The newest event is of {newest[:10]}")
    expect(page.locator("tbody")).to_contain_text("begins in")
    expect(page.locator("tbody")).to_contain_text(re.compile(r"holds for \d h.* more, until 2023"))
    assert violations(page) == []
    for left in (1, 0):
        page.get_by_role("button", name="Remove").first.click()
        expect(page.locator("tbody tr")).to_have_count(left)
    assert served.get("/api/v1/mutes")["items"] == []


def test_the_api_is_described_without_another_host(looked: Looked, served: Wakeful) -> None:
    asked: list[str] = []
    looked.page.on("request", lambda request: asked.append(request.url))
    looked.page.goto(f"{served.address}/docs")
    looked.page.locator("h1", has_text="API").wait_for()
    routes = looked.page.locator("details.route")
    told = served.get("/openapi.json")["paths"]
    expect(routes).to_have_count(sum(len(methods) for methods in told.values()))
    looked.page.locator("summary", has_text="POST /api/v1/mutes").click()
    opened = routes.filter(has=looked.page.locator("[open]")).or_(
        looked.page.locator("details[open]")
    )
    expect(opened).to_contain_text("alarm nobody")
    expect(opened).to_contain_text("one of day, week")
    assert violations(looked.page) == []
    assert all(url.startswith(served.address) for url in asked)
