"""Uses the harness of the scenario tests. Prints, at the end, a line per suite: cases passed, applicable, exceptions.

A test marked `suite("name")` is a case of that suite; so is every test of a file without such marks, whose suite is called like the file. A case
marked `exception("why")` is one that is met otherwise than the suite wants: what it asserts is what happens instead. A skipped case does
not apply."""

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scenarios"))

SUITES = {}  # name -> Counter of "passed", "applicable", "exceptions"
MARKED = set()  # files that say themselves what belongs to a suite


def pytest_configure(config):
    config.addinivalue_line("markers", "suite(name): a case of that conformance suite")
    config.addinivalue_line("markers", "exception(why): a case of a suite that is met otherwise than it wants")


def pytest_collection_modifyitems(items):
    MARKED.update(item.path for item in items if item.get_closest_marker("suite"))


def suite_of(item):
    marker = item.get_closest_marker("suite")
    if marker:
        return marker.args[0]
    return None if item.path in MARKED else item.path.stem.removeprefix("test_")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    name = suite_of(item)
    if name is None or not (report.when == "call" or (report.when == "setup" and not report.passed)):
        return
    counts = SUITES.setdefault(name, Counter())
    counts["applicable"] += not report.skipped
    if report.passed:
        counts["exceptions" if item.get_closest_marker("exception") else "passed"] += 1


def pytest_terminal_summary(terminalreporter):
    if not SUITES:
        return
    width = max(len(name) for name in SUITES)
    terminalreporter.write_line(f"{'conformance':<{width}}  passed  applicable  exceptions")
    for name, counts in SUITES.items():
        terminalreporter.write_line(
            f"{name:<{width}}  {counts['passed']:6}  {counts['applicable']:10}  {counts['exceptions']:10}")
