"""The page in a real browser: every view, alive; the token; dnsd away and back."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.admin.ui.browsing import chromium, page_of
from tests.commands.running import Running, running
from tests.serving import service, serving

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module")]

WEB = "web.default.svc.cluster.local"
EVIL = (
    "apiVersion: v1\nkind: Service\nmetadata: {name: evil, namespace: prod}\n"
    "spec: {type: ExternalName, externalName: <img src=x onerror=alert(1)>.example}\n"
)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    files = {"web": service("web", "10.96.0.1"), "api": service("api", "10.96.0.2", "prod")}
    with running(tmp_path_factory.mktemp("page"), **files) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, there: Running) -> AsyncIterator[Page]:
    """The page at the URL that `serve` prints."""
    async with page_of(browser) as found:
        await found.goto(f"{there.url}/#token={there.token}")
        await expect(found.get_by_role("heading", level=1)).to_have_text("Overview")
        yield found


async def visit(page: Page, view: str) -> None:
    await page.get_by_role("navigation", name="Views").get_by_role("link", name=view).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(view)
    await expect(page).to_have_title(f"{view} · dnsd")


class TestOverview:
    async def test_it_shows_rates_sources_services_and_workers(
        self, page: Page, there: Running
    ) -> None:
        await expect(page.get_by_role("status").first).to_have_text("ready")
        for title in ("Queries", "Outcomes", "Latency", "Services by type", "Sources", "Workers"):
            await expect(page.get_by_role("region", name=title, exact=True)).to_be_visible()
        sources = page.get_by_role("table", name="Sources and their health")
        await expect(sources.get_by_role("row").nth(1)).to_contain_text("synced")
        services = page.get_by_role("region", name="Services by type")
        await expect(services.get_by_role("listitem").first).to_have_text("ClusterIP2")

    async def test_the_charts_show_outcomes_and_latency(self, page: Page, there: Running) -> None:
        chart = page.get_by_role("img", name=re.compile("^Queries per second by outcome"))
        await expect(chart).to_have_attribute("aria-label", re.compile("NXDOMAIN 0,"))
        for number in range(40):
            there.server.query(f"none{number}.default.svc.cluster.local")
            there.server.query(WEB)
        await expect(chart).to_have_attribute("aria-label", re.compile("NXDOMAIN [1-9]"))
        await expect(chart).to_have_attribute("aria-label", re.compile("NOERROR [1-9]"))
        assert await chart.locator("path.area.c-nxdomain").get_attribute("d")
        latency = page.get_by_role("img", name=re.compile("^Latency in the engine"))
        await expect(latency).to_have_attribute("aria-label", re.compile("p99 .*[µm]s"))

    async def test_a_change_appears_without_a_reload(self, page: Page, there: Running) -> None:
        changes = page.get_by_role("region", name="Latest changes")
        await expect(changes).to_contain_text("No changes since this page was opened.")
        await page.evaluate("window.untouched = true")
        (there.manifests / "fresh.yaml").write_text(service("fresh", "10.96.0.50"))
        await expect(changes).to_contain_text("fresh.default.svc.cluster.local. A 10.96.0.50")
        await expect(changes).to_contain_text("caused by Service default/fresh (fresh.yaml")
        services = page.get_by_role("region", name="Services by type")
        await expect(services.get_by_role("listitem").first).to_have_text("ClusterIP3")
        (there.manifests / "fresh.yaml").unlink()
        await expect(services.get_by_role("listitem").first).to_have_text("ClusterIP2")
        assert await page.evaluate("window.untouched")


class TestEmpty:
    async def test_empty_views_have_a_text(self, browser: Browser, tmp_path: Path) -> None:
        with running(tmp_path) as empty:
            async with page_of(browser) as page:
                await page.goto(f"{empty.url}/#token={empty.token}")
                for words in (
                    "No queries in the last five minutes.",
                    "No samples in the last five minutes.",
                    "No Services: dnsd serves only the zone itself.",
                    "No changes since this page was opened.",
                ):
                    await expect(page.get_by_text(words).first).to_be_visible()
                await visit(page, "Live queries")
                await expect(page.get_by_text("No queries yet.")).to_be_visible()
                await visit(page, "Top")
                await expect(page.get_by_text("No clients yet.")).to_be_visible()
                await visit(page, "Names")
                await page.get_by_role("link", name="cluster.local.", exact=True).first.click()
                await expect(page.get_by_text("No changes are recorded.")).to_be_visible()


class TestNames:
    async def test_search_as_you_type_and_filters(self, page: Page) -> None:
        await visit(page, "Names")
        table = page.get_by_role("table", name="Records")
        await expect(table).to_contain_text(f"{WEB}.")
        await page.get_by_label("Search").press_sequentially("api.pr")
        await expect(table).not_to_contain_text(f"{WEB}.")
        await expect(table.get_by_role("link").first).to_have_text("api.prod.svc.cluster.local.")
        await page.get_by_label("Type").select_option("SRV")
        await expect(table.get_by_role("row")).to_have_count(2)
        await page.get_by_label("Search").fill("nothing-like-it")
        await expect(page.get_by_text("No record of this zone matches.")).to_be_visible()
        await page.get_by_label("Search").fill("")
        await page.get_by_label("Namespace").select_option("default")
        await page.get_by_label("Type").select_option("")
        await expect(table).to_contain_text(f"{WEB}.")
        await expect(table).not_to_contain_text("api.prod")
        await page.get_by_label("Zone").select_option("10.in-addr.arpa.")
        await page.get_by_label("Namespace").select_option("")
        await expect(table).to_contain_text("1.0.96.10.in-addr.arpa.")

    async def test_a_name_has_its_records_and_its_history(self, page: Page, there: Running) -> None:
        name = "moving.default.svc.cluster.local"
        (there.manifests / "moving.yaml").write_text(service("moving", "10.96.0.60"))
        await visit(page, "Names")
        await page.get_by_label("Search").fill("moving")
        await page.get_by_role("link", name=f"{name}.").first.click()
        detail = page.get_by_role("region", name=f"{name}.")
        await expect(detail).to_contain_text("Contributors: Service default/moving")
        await expect(detail).to_contain_text("10.96.0.60")
        (there.manifests / "moving.yaml").write_text(service("moving", "10.96.0.61"))
        newest = detail.locator(".history li").first
        await expect(newest).to_contain_text("A 10.96.0.61")
        await expect(newest).to_contain_text("A 10.96.0.60")
        await expect(newest).to_contain_text("caused by Service default/moving (moving.yaml")
        (there.manifests / "moving.yaml").unlink()
        await expect(detail).to_contain_text("The name has no records now.")
        await detail.get_by_role("button", name="Close").click()
        await expect(detail).to_be_hidden()

    async def test_more_than_a_page_stays_when_the_zone_changes(
        self, page: Page, there: Running
    ) -> None:
        many = "".join(service(f"many-{i}", f"10.96.3.{i}") for i in range(1, 61))
        (there.manifests / "many.yaml").write_text(many)
        await visit(page, "Names")
        await page.get_by_label("Search").fill("many-")
        summary = page.get_by_role("status").nth(1)
        await expect(summary).to_have_text("100 records in cluster.local. (more are available)")
        await page.get_by_role("button", name="More").click()
        await expect(summary).to_have_text("120 records in cluster.local.")
        (there.manifests / "many.yaml").write_text(many.replace("10.96.3.1,", "10.96.3.99,"))
        table = page.get_by_role("table", name="Records")
        await expect(table).to_contain_text("10.96.3.99")
        await expect(table.get_by_role("row")).to_have_count(121)
        (there.manifests / "many.yaml").unlink()
        await expect(page.get_by_text("No record of this zone matches.")).to_be_visible()

    async def test_a_click_right_after_typing_loses_nothing(self, page: Page) -> None:
        await visit(page, "Names")
        link = page.get_by_role("link", name=f"{WEB}.").first
        await expect(link).to_be_visible()
        await page.get_by_label("Search").fill("web")
        await link.click()
        await expect(page.get_by_role("region", name=f"{WEB}.")).to_be_visible()
        await expect(page.get_by_role("status").nth(1)).to_have_text("2 records in cluster.local.")
        assert page.url.endswith(f"#/names?q=web&name={WEB}.")

    async def test_by_keyboard(self, page: Page) -> None:
        await page.keyboard.press("2")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Names")
        await page.keyboard.press("/")
        search = page.get_by_label("Search")
        await expect(search).to_be_focused()
        await page.keyboard.type("web")
        await expect(page.get_by_role("status").nth(1)).to_have_text("2 records in cluster.local.")
        links = page.locator("a[data-name]")
        await links.first.focus()
        await page.keyboard.press("ArrowDown")
        await expect(links.nth(1)).to_be_focused()
        await page.keyboard.press("Enter")
        detail = page.get_by_role("region", name=f"{WEB}.")
        await expect(detail).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(detail).to_be_hidden()


class TestExplain:
    async def test_a_name_is_explained_with_its_steps(self, page: Page) -> None:
        await visit(page, "Explain")
        await expect(page.get_by_text("Enter a name as a Pod would")).to_be_visible()
        await page.get_by_label("Name", exact=True).fill("wbe")
        await page.keyboard.press("Enter")
        verdict = page.get_by_role("region", name="Verdict")
        await expect(verdict).to_contain_text("wbe.default.svc.cluster.local. does not exist")
        await expect(verdict).to_contain_text("NXDOMAIN")
        steps = page.get_by_role("region", name="Steps")
        await expect(steps).to_contain_text("namespace default has no Service wbe")
        await expect(page.get_by_role("region", name="Search list of the Pod")).to_contain_text(
            "nxdomain"
        )
        await page.get_by_role("link", name=f"{WEB}.").click()
        await expect(verdict).to_contain_text(f"{WEB}. A resolves to 10.96.0.1")
        assert page.url.endswith(f"#/explain?name={WEB}.&type=A")
        await page.get_by_label("Type").select_option("AAAA")
        await page.get_by_role("button", name="Explain").click()
        await expect(verdict).to_contain_text("NODATA")

    async def test_the_explanation_follows_the_zone(self, page: Page, there: Running) -> None:
        await page.goto(f"{there.url}/#/explain?name=soon.default")
        verdict = page.get_by_role("region", name="Verdict")
        await expect(verdict).to_contain_text("does not exist")
        (there.manifests / "soon.yaml").write_text(service("soon", "10.96.0.70"))
        await expect(verdict).to_contain_text("resolves to 10.96.0.70")
        (there.manifests / "soon.yaml").unlink()
        await expect(verdict).to_contain_text("does not exist")

    async def test_text_that_is_not_a_name_is_an_error(self, page: Page) -> None:
        await visit(page, "Explain")
        await page.get_by_label("Name", exact=True).fill("a..b")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert").last).to_have_text(
            "name: 'a..b' is not a domain name"
        )


class TestPlan:
    async def test_pasted_manifests_are_planned(self, page: Page) -> None:
        await visit(page, "Plan")
        await page.get_by_label("Manifests").fill(service("new", "10.96.0.80"))
        await page.keyboard.press("Control+Enter")
        verdict = page.get_by_role("region", name="Verdict")
        await expect(verdict).to_contain_text("2 names would appear.")
        added = page.get_by_role("table", name="Would appear")
        await expect(added).to_contain_text("new.default.svc.cluster.local.")
        await page.get_by_label("Mode").select_option("whole")
        await page.get_by_role("button", name="Compute plan").click()
        gone = page.get_by_role("table", name="Would vanish")
        await expect(gone).to_contain_text(f"{WEB}.")
        await page.get_by_role("button", name="Clear").click()
        await expect(verdict).to_be_hidden()

    async def test_dropped_files_are_planned(self, page: Page) -> None:
        await visit(page, "Plan")
        texts = [service("one", "10.96.0.81"), service("two", "10.96.0.1")]
        await page.evaluate(
            """(texts) => {
              const carried = new DataTransfer();
              texts.forEach((text, i) => carried.items.add(new File([text], `${i}.yaml`)));
              const dropped = new DragEvent("drop", {
                dataTransfer: carried, bubbles: true, cancelable: true });
              document.querySelector(".drop").dispatchEvent(dropped);
            }""",
            texts,
        )
        await expect(page.get_by_text("Read 0.yaml, 1.yaml.")).to_be_visible()
        await expect(page.get_by_role("table", name="Would appear")).to_contain_text("one.default")
        await expect(page.get_by_role("region", name="Conflicts")).to_contain_text("10.96.0.1")

    async def test_invalid_manifests_are_errors(self, page: Page) -> None:
        await visit(page, "Plan")
        await page.get_by_role("button", name="Compute plan").click()
        await expect(page.get_by_text("Nothing to plan")).to_be_visible()
        await page.get_by_label("Manifests").fill("kind: Service\n  a: [\n")
        await page.keyboard.press("Control+Enter")
        await expect(page.get_by_role("alert").last).to_contain_text("manifests.yaml:2")


class TestLiveQueries:
    async def test_queries_appear_and_can_be_paused_and_filtered(
        self, page: Page, there: Running
    ) -> None:
        await visit(page, "Live queries")
        table = page.get_by_role("table", name="Queries, newest first")
        note = page.get_by_role("status").nth(1)
        await expect(note).to_contain_text("queries per second and worker")
        await ask_until(there, WEB, table, f"{WEB}.")
        row = table.get_by_role("row").nth(1)
        await expect(row).to_contain_text("NOERROR")
        await expect(row).to_contain_text("127.0.0.1")
        await page.keyboard.press("p")
        await expect(page.get_by_role("button", name="Resume")).to_be_visible()
        for _ in range(5):
            there.server.query("paused.default.svc.cluster.local")
        await expect(note).to_have_text(re.compile(r"Paused; [1-9]\d* new queries\."))
        await expect(table).not_to_contain_text("paused.default")
        await page.get_by_role("button", name="Resume").click()
        await expect(table).to_contain_text("paused.default")
        await page.get_by_label("Rcode").select_option("NXDOMAIN")
        await expect(table).to_be_hidden()
        there.server.query(WEB)
        await ask_until(there, "absent.default.svc.cluster.local", table, "NXDOMAIN")
        await expect(table).not_to_contain_text(f"{WEB}.")

    async def test_an_invalid_filter_is_an_error(self, page: Page) -> None:
        await visit(page, "Live queries")
        await page.get_by_label("Client").fill("nobody")
        await expect(page.get_by_role("status").nth(1)).to_contain_text("dnsd: client: ")


async def ask_until(there: Running, name: str, table: object, words: str) -> None:
    """Asks again and again, since the workers sample, until the table has the words."""
    for attempt in range(50):
        there.server.query(name)
        try:
            await expect(table).to_contain_text(words, timeout=400)  # type: ignore[call-overload]
        except AssertionError:
            assert attempt < 49
        else:
            return


class TestTop:
    async def test_names_clients_and_nxdomains_are_listed(self, page: Page, there: Running) -> None:
        await visit(page, "Top")
        for _ in range(3):
            there.server.query("lost.default.svc.cluster.local")
        missing = page.get_by_role("region", name="NXDOMAIN")
        await expect(missing).to_contain_text("lost.default.svc.cluster.local.")
        await expect(page.get_by_role("region", name="Clients")).to_contain_text("127.0.0.1")
        await page.get_by_label("Window").select_option("10m")
        await expect(page.get_by_role("region", name="Types")).to_contain_text("A")
        await missing.get_by_role("link").first.click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Explain")


class TestToken:
    async def test_the_token_moves_from_the_url_to_the_tab(
        self, page: Page, there: Running
    ) -> None:
        assert there.token not in page.url
        await page.reload()
        await expect(page.get_by_role("status").first).to_have_text("ready")
        stored = await page.evaluate("[Object.keys(localStorage).length, document.cookie]")
        assert stored == [0, ""]

    async def test_a_wrong_token_can_be_replaced(self, browser: Browser, there: Running) -> None:
        async with page_of(browser) as page:
            await page.goto(f"{there.url}/#token=wrong-wrong-wrong-wrong")
            alert = page.get_by_role("alert").last
            await expect(alert).to_contain_text("dnsd does not accept this token.")
            await page.get_by_label("Token").fill(there.token)
            await page.get_by_role("button", name="Use this token").click()
            await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")

    async def test_a_missing_token_is_requested(self, browser: Browser, there: Running) -> None:
        async with page_of(browser) as page:
            await page.goto(f"{there.url}/#/explain?name=web")
            heading = page.get_by_role("heading", level=1)
            await expect(heading).to_have_text("This page requires a token")
            await expect(page.get_by_text("does not accept this token")).to_have_count(0)
            await expect(page.get_by_label("Token")).to_be_focused()
            await page.keyboard.type(there.token)
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("region", name="Verdict")).to_contain_text(WEB)


class TestReconnect:
    async def test_the_page_reports_an_unreachable_dnsd_and_reconnects(
        self, browser: Browser, tmp_path: Path
    ) -> None:
        """dnsd is killed, and started again at the same place with other manifests."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            place = f"127.0.0.1:{free.getsockname()[1]}"
        manifests = tmp_path / "manifests"
        manifests.mkdir()
        (manifests / "web.yaml").write_text(service("web", "10.96.0.1"))
        flags = ("--manifests", str(manifests), "--admin", place)
        flags += ("--state-dir", str(tmp_path / "state"))
        async with page_of(browser) as page:
            with serving(*flags) as server:
                await page.goto(server.stdout.partition("admin: ")[2].split()[0])
                await visit(page, "Names")
                table = page.get_by_role("table", name="Records")
                await expect(table).to_contain_text("10.96.0.1")
            banner = page.get_by_role("alert").first
            await expect(banner).to_contain_text("dnsd does not answer.")
            await expect(page.get_by_role("status").first).to_have_text("no answer")
            await expect(table).to_contain_text("10.96.0.1")  # what was known stays readable
            (manifests / "web.yaml").write_text(service("web", "10.96.0.9"))
            with serving(*flags):
                await expect(banner).to_be_hidden()
                await expect(table).to_contain_text("10.96.0.9")
                await expect(page.get_by_role("status").first).to_have_text("ready")
                (manifests / "web.yaml").write_text(service("web", "10.96.0.10"))
                await expect(table).to_contain_text("10.96.0.10")  # its stream is open again


class TestLooks:
    @pytest.mark.parametrize("view", ["overview", "names", "explain", "plan", "queries", "top"])
    async def test_it_fits_a_phone(self, browser: Browser, there: Running, view: str) -> None:
        async with page_of(browser) as page:
            await page.set_viewport_size({"width": 360, "height": 740})
            await page.goto(f"{there.url}/#token={there.token}")
            await page.goto(f"{there.url}/#/{view}?name=web.default")
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            await expect(page.locator(".view > *").first).to_be_visible()
            assert await page.evaluate("document.documentElement.scrollWidth") == 360

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    async def test_contrast_of_what_is_written(
        self, browser: Browser, there: Running, scheme: str
    ) -> None:
        """WCAG 2.2, 1.4.3: 4.5 to 1 for text, in both colour schemes."""
        async with page_of(browser, color_scheme=scheme) as page:
            await page.goto(f"{there.url}/#token={there.token}")
            for view in ("overview", "names", "explain?name=wbe", "plan", "queries", "top"):
                await page.goto(f"{there.url}/#/{view}")
                await expect(page.locator(".view > *").first).to_be_visible()
                if view.startswith("explain"):
                    await expect(page.get_by_role("region", name="Verdict")).to_be_visible()
                lowest = await page.evaluate(CONTRAST)
                assert lowest[0] >= 4.5, (view, lowest)

    async def test_every_field_has_a_label_and_every_view_one_heading(self, page: Page) -> None:
        for view in ("Names", "Explain", "Plan", "Live queries", "Top"):
            await visit(page, view)
            unlabelled = "input:not([type=file]), select, textarea"
            assert await page.evaluate(
                f"[...document.querySelectorAll('{unlabelled}')].filter(one => !one.labels.length)"
                ".length"
            ) == 0  # fmt: skip
            await expect(page.locator("h1")).to_have_count(1)
            await expect(page.locator("nav a[aria-current=page]")).to_have_text(view)


class TestForeignText:
    async def test_markup_in_a_name_is_text(self, page: Page, there: Running) -> None:
        await visit(page, "Live queries")
        await expect(page.get_by_role("status").nth(1)).to_contain_text("per second and worker")
        table = page.get_by_role("table", name="Queries, newest first")
        evil = r"<img\032src=x\032onerror=alert(1)>.default.svc.cluster.local"
        await ask_until(there, evil, table, r"\060img\032src=x")
        await expect(page.locator("main img")).to_have_count(0)

    async def test_markup_in_a_manifest_is_text(self, page: Page) -> None:
        await visit(page, "Plan")
        await page.get_by_label("Manifests").fill(EVIL)
        await page.keyboard.press("Control+Enter")
        await expect(page.get_by_role("alert").last).to_contain_text("<img src=x onerror")
        await expect(page.locator("main img")).to_have_count(0)


# The lowest contrast of any visible text on the page: [ratio, text].
CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const of = (one) => one / 255 <= 0.04045 ? one / 3294.6 : ((one / 255 + 0.055) / 1.055) ** 2.4;
    return 0.2126 * of(r) + 0.7152 * of(g) + 0.0722 * of(b);
  };
  const behind = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const colour = rgb(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  let lowest = [99, ""];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest("noscript")) {
      continue;
    }
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < lowest[0]) lowest = [ratio, walker.currentNode.data.trim()];
  }
  return lowest;
}"""
