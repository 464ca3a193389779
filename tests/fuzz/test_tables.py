"""The quick mode of the fuzzer of tables."""

from pathlib import Path

from fuzz.tables import run_case


def test_commands_end_well_on_hostile_tables(tmp_path: Path) -> None:
    cases = [run_case(number, 7, tmp_path) for number in range(12)]
    assert [fault for case in cases for fault in case.faults] == []
    codes = "".join(case.codes for case in cases)
    assert codes.count("0") >= 3  # most tables are refused
    assert codes.count("2") > 5
