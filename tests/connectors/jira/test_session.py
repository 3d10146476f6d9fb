"""Jira's SDK, as it is loaded and signed in."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys, threading
from connectors.jira.session import signed_in

failed, together = [], threading.Barrier(8)

def begin():
    together.wait()
    try:
        signed_in("https://jira.example.com", "t", None, timeout=1, connections=1).close()
    except BaseException as error:
        failed.append(repr(error))

threads = [threading.Thread(target=begin) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(failed, "charset_normalizer" in sys.modules)
"""


def test_connectors_that_begin_at_the_same_time_all_get_the_sdk() -> None:
    """Two sites, or two projects of one: whichever loads it first, no one's first ticket fails."""
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert ran.stdout == "[] False\n"
