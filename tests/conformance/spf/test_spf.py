"""Our SPF evaluator against the test suite of RFC 7208: result and explanation, with all answers known and round by round."""

from collections import Counter

import pytest

import spf_suite as suite

CASES = list(suite.cases()) if suite.SUITE.exists() else []
OUTCOMES = {}
REPEAT = 2000

if not CASES:
    pytest.skip(f"SPF suite not run: no {suite.SUITE} (set POSTERN_CORPORA)", allow_module_level=True)


@pytest.fixture(scope="session", autouse=True)
def outcomes():
    if not OUTCOMES:
        found, _ = suite.run(CASES)
        OUTCOMES.update(zip((case.id for case in CASES), found))
    return OUTCOMES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case, outcomes):
    outcome = outcomes[case.id]
    assert outcome.result in case.results, outcome
    if case.explanation == "DEFAULT":
        assert outcome.explanation == ""
    elif case.explanation is not None:
        assert outcome.explanation == case.explanation
    assert outcome.same, "another outcome when answers come round by round"
    assert outcome.rounds <= 11 and outcome.lookups <= 10 and outcome.void_lookups <= 2


def test_all_cases_are_there():
    assert len(CASES) == 203


def test_figures(outcomes, record_spf_figures):
    """What the report at the end says: preferred results, rounds of questions, time of an evaluation."""
    _, note = suite.run(CASES, REPEAT)
    preferred = sum(outcomes[case.id].result == case.results[0] for case in CASES)
    good = sum(outcomes[case.id].result in case.results for case in CASES)
    rounds = Counter(outcome.rounds for outcome in outcomes.values())
    record_spf_figures(
        f"SPF, RFC 7208 suite: {good} of {len(CASES)} ({preferred} with the preferred result); "
        f"rounds of questions: {', '.join(f'{number}: {rounds[number]}' for number in sorted(rounds))}; "
        f"at most {max(outcome.questions for outcome in outcomes.values())} questions; {note}")
