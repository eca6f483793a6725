"""How large the page of a search is, how long it takes to build, and to open in a browser.

    python -m tests.bench.report [--trials 1000] [--epochs 20] [--folder FOLDER] [--out FILE]

The search is made up: a real event log, of curves that nobody trained. Chromium is driven over its
debugging protocol on 127.0.0.1. Building takes in the imports, the first time; a picture is one of
the whole page, however long, and stands beside it in FOLDER. Asked of 1,000 trials of 20 epochs:
less than 2 MB, opened in less than 2 s, nothing on the console, nothing asked of the network, and
no page wider than its window; what is not so is told, and the exit code is 1. Needs chromium.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

from distrain.report.search.writing import write_search_report
from tests.search_folder import make_search

WAIT_S = 30.0
MAX_BYTES = 2_000_000
MAX_S = 2.0
WINDOWS = {
    f"{name}{'' if scheme == 'light' else ', dark'}": (*size, scheme)
    for name, size in {"desk": (1280, 900), "phone": (390, 844)}.items()
    for scheme in ("light", "dark")
}
SCHEDULERS = ("asha", "none")


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[str]:
    """Start a browser and give the address of its debugging protocol; end it afterwards."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program is not None, "chromium is not installed"
    command = [program, "--headless=new", "--no-sandbox", "--remote-debugging-port=0"]
    process = subprocess.Popen(
        [*command, f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    told, deadline = folder / "DevToolsActivePort", time.monotonic() + WAIT_S
    try:
        while not told.is_file() or not told.read_text().strip():
            assert time.monotonic() < deadline, "the browser does not start"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{told.read_text().splitlines()[0]}"
    finally:
        process.terminate()
        process.wait()


class Tab:
    """A browser's tab over its debugging protocol; what it tells is kept in `events`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.events: list[dict[str, Any]] = []
        self._socket = socket
        self._number = 0

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the answer to a call."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while True:
            told = await self._socket.receive_json(timeout=WAIT_S)
            if told.get("id") == self._number:
                return dict(told["result"])
            self.events.append(told)

    async def value(self, expression: str) -> Any:
        """Return what an expression comes to in the page."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"]["value"]

    async def until(self, method: str) -> None:
        """Wait for an event that has not been told of yet."""
        while not any(event["method"] == method for event in self.events):
            self.events.append(await self._socket.receive_json(timeout=WAIT_S))

    def told(self, *methods: str) -> list[dict[str, Any]]:
        """Return what was told by events."""
        return [event["params"] for event in self.events if event["method"] in methods]


async def opened(
    address: str, page: Path, window: tuple[int, int, str], picture: Path
) -> dict[str, Any]:
    """Return how long a page takes to load, to paint, and as one picture, and what went wrong."""
    width, height, scheme = window
    async with aiohttp.ClientSession() as session:
        async with session.put(f"{address}/json/new?about:blank") as answer:
            url = (await answer.json(content_type=None))["webSocketDebuggerUrl"]
        async with session.ws_connect(url, max_msg_size=0) as socket:
            tab = Tab(socket)
            for domain in ("Page", "Network", "Log", "Runtime"):
                await tab.call(f"{domain}.enable")
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            await tab.call("Emulation.setDeviceMetricsOverride", **metrics)
            wanted = [{"name": "prefers-color-scheme", "value": scheme}]
            await tab.call("Emulation.setEmulatedMedia", features=wanted)
            started = time.perf_counter()
            await tab.call("Page.navigate", url=page.as_uri())
            await tab.until("Page.loadEventFired")
            loaded_s = time.perf_counter() - started
            seen = await tab.call(
                "Page.captureScreenshot", captureBeyondViewport=True, format="jpeg"
            )
            pictured_s = time.perf_counter() - started
            first_ms = await tab.value("performance.getEntriesByType('paint').at(-1).startTime")
            wide = await tab.value("document.documentElement.scrollWidth")
    picture.write_bytes(base64.b64decode(seen["data"]))
    asked = [told["request"]["url"] for told in tab.told("Network.requestWillBeSent")]
    said = tab.told("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
    return {
        "loaded_s": round(loaded_s, 3),
        "first_paint_s": round(first_ms / 1000, 3),
        "pictured_s": round(pictured_s, 3),
        "console": len(said),
        "requests": len([url for url in asked if url != page.as_uri()]),
        "scrolls_sideways": wide > width,
    }


def measured(name: str, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return what the page of a search under a scheduler costs."""
    scheduler = {"scheduler": {"name": name}}
    run_dir, log = make_search(
        folder / name, arguments.trials, arguments.epochs, num_slots=16, **scheduler
    )
    page = run_dir / "report.html"
    started, before_s = time.perf_counter(), time.process_time()
    write_search_report(run_dir, page)
    built_s, cpu_s = time.perf_counter() - started, time.process_time() - before_s
    found: dict[str, Any] = {
        "events": len(log.events),
        "built_s": round(built_s, 2),
        "built_cpu_s": round(cpu_s, 2),
        "bytes": page.stat().st_size,
    }
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        browser(Path(profile)) as address,
    ):
        for at, window in WINDOWS.items():
            picture = page.with_name(f"report, {at}.jpeg")
            found[at] = asyncio.run(opened(address, page, window, picture))
    return found


def broken(found: dict[str, Any]) -> list[str]:
    """Return what of a page is not as it is asked for, each with its figure."""
    told = [f"{found['bytes']} bytes"] if found["bytes"] >= MAX_BYTES else []
    for at in WINDOWS:
        seen = found[at]
        told += [f"{at}: opened in {seen['loaded_s']} s"] if seen["loaded_s"] >= MAX_S else []
        wrong = ("console", "requests", "scrolls_sideways")
        told += [f"{at}: {name}: {seen[name]}" for name in wrong if seen[name]]
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.folder or Path(made)
        found = {name: measured(name, arguments, folder) for name in SCHEDULERS}
    text = json.dumps(found, indent=2)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    told = [f"{name}: {what}" for name, page in found.items() for what in broken(page)]
    if told:
        sys.exit("not as it is asked for:\n" + "\n".join(told))


if __name__ == "__main__":
    main()
