"""The quick mode of the fuzzer of model files."""

from collections import Counter

from fuzz.models import run


def test_edited_models_are_refused_in_one_line_or_score_as_before() -> None:
    cases = list(run(edits=120, seed=7))
    assert [case for case in cases if case.bad] == []
    found = Counter(case.outcome for case in cases)
    assert found["refused"] > 50
    assert found["same scores"] > 1
