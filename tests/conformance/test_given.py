"""Given attack cases: so far only looked at, because their format is not known here."""

import os
from pathlib import Path

import pytest
import yaml

from gateway import ROOT

CASES = Path(os.environ.get("POSTERN_CORPORA", ROOT.parent / "shared" / "corpora")) / "smtp" / "given" / "attack-cases.yml"


def test_given_attack_cases_can_be_read(capsys):
    if not CASES.exists():
        pytest.skip(f"no given attack cases: {CASES} does not exist (POSTERN_CORPORA)")
    loaded = yaml.safe_load(CASES.read_text())
    cases = loaded if isinstance(loaded, list) else max((v for v in loaded.values() if isinstance(v, list)), key=len, default=[])
    with capsys.disabled():
        print(f"\n  given attack cases: {len(cases)}")
    assert cases
