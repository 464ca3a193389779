"""Requests made by chance from the OpenAPI description never make the service fail.

``SCHEMATHESIS_CASES`` says how many requests to make for each address; 5,000 in all were made once.
"""

import os

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from serving.service import Service

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")

CASES = int(os.environ.get("SCHEMATHESIS_CASES", "15"))


@pytest.mark.slow
def test_requests_by_chance_are_answered_as_described(service: Service) -> None:
    schema = schemathesis.openapi.from_url(f"{service.address}/openapi.json")
    asked = {"number": 0}

    for operation in schema.get_all_operations():
        api = operation.ok()

        @seed(0)
        @settings(
            max_examples=CASES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=api.as_strategy(), name=st.sampled_from(["shop", None]))
        def ask(case: object, name: str | None) -> None:
            if name is not None and "name" in case.path_parameters:
                case.path_parameters["name"] = name
            asked["number"] += 1
            answer = case.call()
            assert answer.status_code < 500, (case, answer.text)
            documented = case.operation.definition.raw["responses"]
            assert str(answer.status_code) in documented, (case, answer.status_code)
            if answer.status_code >= 400:
                assert set(answer.json()) == {"error", "code", "column", "row"}

        ask()
    print(asked["number"], "requests")
    assert asked["number"] > CASES
