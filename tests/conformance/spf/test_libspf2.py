"""The suite of RFC 7208 with libspf2: `engine: libspf2` must work where the library does, and differ from our evaluator exactly where
libspf2_differences.txt says (case TAB our result TAB libspf2's, each with the explanation behind a blank). POSTERN_WRITE=1 writes that file anew."""

import os
from pathlib import Path

import pytest

import spf_suite as suite

LIST = Path(__file__).parent / "libspf2_differences.txt"
CASES = list(suite.cases()) if suite.SUITE.exists() else []
KNOWN = dict(line.split("\t", 1) for line in LIST.read_text().splitlines())
RFC = pytest.mark.suite("SPF, RFC 7208: engine libspf2")

if not CASES:
    pytest.skip(f"SPF suite not run: no {suite.SUITE} (set POSTERN_CORPORA)", allow_module_level=True)


@pytest.fixture(scope="module")
def outcomes():
    """By case: ours and the library's."""
    ours, _ = suite.run(CASES)
    theirs, _ = suite.run(CASES, libspf2=True)
    found = {case.id: pair for case, *pair in zip(CASES, ours, theirs)}
    if os.environ.get("POSTERN_WRITE"):
        LIST.write_text("".join(f"{name}\t{difference(*pair)}\n" for name, pair in found.items() if difference(*pair)))
    return found


def text(outcome):
    return f"{outcome.result} {outcome.explanation}".strip()


def difference(ours, theirs):
    return f"{text(ours)}\t{text(theirs)}" if text(ours) != text(theirs) else None


def marked(case):
    return pytest.param(case, marks=[RFC, *([pytest.mark.exception(KNOWN[case.id])] if case.id in KNOWN else [])], id=case.id)


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_case(case, outcomes):
    ours, theirs = outcomes[case.id]
    assert difference(ours, theirs) == KNOWN.get(case.id)
    if case.id not in KNOWN:
        assert suite.fits(case, theirs.result, theirs.explanation)
    assert theirs.same, "another outcome when answers come round by round"
    assert theirs.rounds <= 12 and theirs.lookups <= 10 and theirs.void_lookups <= 2


def test_list_is_of_this_suite():
    assert set(KNOWN) <= {case.id for case in CASES}
