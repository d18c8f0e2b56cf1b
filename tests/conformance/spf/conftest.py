"""Says at the end of a run, in one line each, what the SPF suite found or why it did not run."""

import pytest

import spf_suite as suite

FIGURES = []


@pytest.fixture
def record_spf_figures():
    return FIGURES.append


def pytest_terminal_summary(terminalreporter):
    if not suite.SUITE.exists():
        FIGURES.append(f"SPF suite not run: no {suite.SUITE} (set POSTERN_CORPORA)")
    for line in FIGURES:
        terminalreporter.write_line(line)
