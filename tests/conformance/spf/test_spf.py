"""Our SPF evaluator against the test suite of RFC 7208 and the cases of mail-auth: result and explanation, with all answers known and
round by round."""

from collections import Counter

import pytest

import spf_suite as suite
import stalwart_suite

RFC_CASES = list(suite.cases()) if suite.SUITE.exists() else []
CASES = RFC_CASES + stalwart_suite.cases()
RFC, MAIL_AUTH = pytest.mark.suite("SPF, RFC 7208: evaluator"), pytest.mark.suite("SPF, mail-auth: evaluator")
OUTCOMES = {}
REPEAT = 1000

if not CASES:
    pytest.skip(f"SPF suite not run: no {suite.SUITE} (set POSTERN_CORPORA)", allow_module_level=True)


@pytest.fixture(scope="session", autouse=True)
def outcomes():
    if not OUTCOMES:
        found, _ = suite.run(CASES)
        OUTCOMES.update(zip((case.id for case in CASES), found))
    return OUTCOMES


def marked(case):
    """The case as a parameter; in mail-auth's suite some are exceptions."""
    if case in RFC_CASES:
        return pytest.param(case, marks=RFC, id=case.id)
    difference = stalwart_suite.DIFFERENCES.get(f"{case.scenario}: {case.name}")
    return pytest.param(case, marks=[MAIL_AUTH, *([pytest.mark.exception(difference[1])] if difference else [])], id=case.id)


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_case(case, outcomes):
    outcome = outcomes[case.id]
    assert suite.fits(case, outcome.result, outcome.explanation), outcome
    assert outcome.same, "another outcome when answers come round by round"
    assert outcome.rounds <= 12 and outcome.lookups <= 10 and outcome.void_lookups <= 2


def test_all_cases_are_there():
    assert len(RFC_CASES) == 203
    assert len({case.id for case in CASES}) == len(CASES)


def test_figures(outcomes, record_spf_figures):
    """What the report at the end says: preferred results, rounds of questions, time of an evaluation."""
    for title, chosen in (("RFC 7208 suite", RFC_CASES), (f"mail-auth, {len(stalwart_suite.DIFFERENCES)} as the RFC has them", CASES[len(RFC_CASES):])):
        if not chosen:
            continue
        _, note = suite.run(chosen, REPEAT)
        found = [outcomes[case.id] for case in chosen]
        good = sum(outcome.result in case.results for case, outcome in zip(chosen, found))
        preferred = sum(outcome.result == case.results[0] for case, outcome in zip(chosen, found))
        rounds = Counter(outcome.rounds for outcome in found)
        record_spf_figures(
            f"SPF, {title}: {good} of {len(chosen)} ({preferred} with the preferred result); "
            f"rounds of questions: {', '.join(f'{number}: {rounds[number]}' for number in sorted(rounds))}; "
            f"at most {max(outcome.questions for outcome in found)} questions; {note}")
