"""The suite of RFC 7208 with libspf2: `engine: libspf2` must work where the library does, and differ from our evaluator exactly where
libspf2_differences.txt says (case TAB our result TAB libspf2's, each with the explanation behind a blank). POSTERN_WRITE=1 writes that file anew."""

import os

import pytest

import spf_suite as suite

CASES = list(suite.cases()) if suite.SUITE.exists() else []
KNOWN = suite.libspf2_differences()
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
        suite.LIBSPF2_LIST.write_text("".join(f"{name}\t{difference(*pair)}\n" for name, pair in found.items() if difference(*pair)))
    return found


def said(outcome):
    return outcome.result, outcome.explanation


def difference(ours, theirs):
    return "\t".join(" ".join(said(outcome)).strip() for outcome in (ours, theirs)) if said(ours) != said(theirs) else None


def marked(case):
    """A difference is an exception unless the suite leaves the choice."""
    wrong = case.id in KNOWN and not suite.fits(case, *KNOWN[case.id])
    return pytest.param(case, marks=[RFC, *([pytest.mark.exception(f"libspf2 says {KNOWN[case.id]}")] if wrong else [])], id=case.id)


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_case(case, outcomes):
    ours, theirs = outcomes[case.id]
    assert said(theirs) == KNOWN.get(case.id, said(ours))
    if case.id not in KNOWN:
        assert suite.fits(case, *said(theirs))
    assert theirs.same, "another outcome when answers come round by round"
    assert theirs.rounds <= 12 and theirs.lookups <= 10 and theirs.void_lookups <= 2


def test_list_is_of_this_suite():
    assert set(KNOWN) <= {case.id for case in CASES}
