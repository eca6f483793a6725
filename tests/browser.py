"""Headless Chromium for a test, spoken to by chromedriver's own protocol: no library is needed.

Where there is none, a test is skipped, visibly. Debian has both: chromium and chromium-driver.
"""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

WAIT_S = 30.0
_POLL_S = 0.1
_WIDTH, _HEIGHT = 1920, 1200
# What a person clicks on, by what it reads as; the innermost one, of several.
_CLICK = """
const wanted = arguments[0];
const found = [...document.querySelectorAll('a, button, [role=tab], [role=menuitem], summary')]
    .filter(one => one.offsetParent !== null && one.innerText.trim().startsWith(wanted));
if (!found.length) return false;
found[found.length - 1].click();
return true;
"""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def browser_missing() -> str:
    """Return what of a browser is not there; empty: nothing."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"no {' and no '.join(missing)} (Debian: chromium, chromium-driver)" if missing else ""


@final
class Browser:
    """One window.

    Args:
        session: the address of its session at chromedriver.
    """

    def __init__(self, session: str) -> None:
        self._session = session

    def open(self, url: str) -> None:
        """Open a page, and begin it anew where it is open."""
        _ask(f"{self._session}/url", {"url": "about:blank"})
        _ask(f"{self._session}/url", {"url": url})

    @property
    def text(self) -> str:
        """Return what can be read on the page."""
        return str(self.run("return document.body.innerText"))

    @property
    def url(self) -> str:
        """Return the page's address."""
        return str(self.run("return location.href"))

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a script returns that runs in the page."""
        asked = {"script": script, "args": list(arguments)}
        return _ask(f"{self._session}/execute/sync", asked)

    def click(self, label: str) -> None:
        """Click what reads like this, once it is there; go on in the window that it opens."""
        _until(lambda: self.run(_CLICK, label), f"nothing to click on reads {label!r}", self)
        with urllib.request.urlopen(f"{self._session}/window/handles", timeout=WAIT_S) as answer:
            newest = json.load(answer)["value"][-1]
        _ask(f"{self._session}/window", {"handle": newest})

    def wait_for(self, *texts: str) -> str:
        """Wait until all of these can be read on the page; return what can be read on it."""
        for text in texts:
            _until(lambda text=text: text in self.text, f"the page does not say {text!r}", self)
        return self.text

    def picture(self, path: Path) -> None:
        """Write what is seen into a PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(f"{self._session}/screenshot", timeout=WAIT_S) as answer:
            path.write_bytes(base64.b64decode(json.load(answer)["value"]))


@contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """Give a browser for the length of a `with` block.

    Args:
        profile: a folder of its own for what it keeps.
    """
    port = free_port()
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _until(lambda: _is_ready(address), "chromedriver does not answer")
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        arguments += [f"--window-size={_WIDTH},{_HEIGHT}", f"--user-data-dir={profile}"]
        options = {"binary": shutil.which("chromium"), "args": arguments}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options}
        made = _ask(f"{address}/session", {"capabilities": {"alwaysMatch": wanted}})
        session = f"{address}/session/{made['sessionId']}"
        try:
            yield Browser(session)
        finally:
            closing = urllib.request.Request(session, method="DELETE")
            urllib.request.urlopen(closing, timeout=WAIT_S).close()
    finally:
        driver.terminate()
        driver.wait(WAIT_S)


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/status", timeout=1) as answer:
            return bool(json.load(answer)["value"]["ready"])
    except OSError:
        return False


def _ask(url: str, fields: Mapping[str, Any]) -> Any:
    request = urllib.request.Request(
        url, json.dumps(fields).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=2 * WAIT_S) as answer:
        return json.load(answer)["value"]


def _until(is_so: Callable[[], Any], told: str, browser: Browser | None = None) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        if time.monotonic() > deadline:
            seen = f"; it says:\n{browser.text[:4000]}" if browser is not None else ""
            raise AssertionError(f"{told} within {WAIT_S:g} s{seen}")
        time.sleep(_POLL_S)
