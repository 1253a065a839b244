"""The bench's JSON against its schema, and compare.py on results made for it."""
import copy
import importlib.util
import json
import os
import pathlib
import subprocess

import jsonschema
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs/schemas/bench.schema.json").read_text())
BENCH = os.environ["SPARSERT_BENCH"]

spec = importlib.util.spec_from_file_location("compare", ROOT / "bench/compare.py")
compare = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compare)


def run(*arguments, **environment):
    return subprocess.run([BENCH, *arguments], capture_output=True, text=True, timeout=300, check=False,
                          env={**os.environ, **environment})


@pytest.fixture(scope="module")
def report():
    result = run("--quick", "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_json_is_what_the_schema_says(report):
    jsonschema.validate(report, SCHEMA)
    assert report["quick"] and report["runs"][0]["cases"]


def test_kept_results_are_what_the_schema_says():
    for path in sorted((ROOT / "bench/results").glob("*.json")):
        jsonschema.validate(json.loads(path.read_text()), SCHEMA)


def test_every_case_leads_with_us(report):
    for case in report["runs"][0]["cases"]:
        assert case["contenders"][0]["role"] == "ours", case["name"]
        assert case["contenders"][0]["ratio"] == 1


def test_unfair_settings_are_named():
    result = run("--quick", "--json", "--op", "relu", OPENBLAS_CORETYPE="Haswell")
    assert result.returncode == 0, result.stderr
    assert any("OPENBLAS_CORETYPE=Haswell" in note for note in json.loads(result.stdout)["notes"])


def test_the_table_goes_where_json_does_not():
    result = run("--quick", "--op", "relu")
    assert result.returncode == 0 and "relu float32" in result.stdout and result.stderr == ""


def test_usage_errors():
    assert run("--no-such-option").returncode == 2
    missing = run("--device", "abacus")
    assert missing.returncode == 1 and "abacus" in missing.stderr


def slowed(report, factor):
    """The same report with our time of the first case changed."""
    changed = copy.deepcopy(report)
    case = changed["runs"][0]["cases"][0]
    case["min_s"] *= factor
    case["contenders"][0]["min_s"] *= factor
    return changed


def verdicts(old, new, tolerance=0.1):
    return [row[0] for row in compare.compare(old, new, tolerance)]


def test_compare_finds_nothing_in_the_same_report(report):
    assert set(verdicts(report, report)) == {"same"}


def test_compare_finds_slower_and_faster(report):
    assert verdicts(report, slowed(report, 1.5)).count("slower") == 1
    assert verdicts(report, slowed(report, 0.5)).count("faster") == 1
    assert set(verdicts(report, slowed(report, 1.05))) == {"same"}


def test_compare_does_not_see_a_slower_machine(report):
    other = copy.deepcopy(report)
    for run_ in other["runs"]:
        for case in run_["cases"]:
            case["min_s"] *= 3
            case["limit_s"] *= 3
            for contender in case["contenders"]:
                contender["min_s"] *= 3
    assert set(verdicts(report, other)) == {"same"}


def test_compare_names_missing_and_new_cases(report):
    fewer = copy.deepcopy(report)
    fewer["runs"][0]["cases"].pop()
    assert verdicts(report, fewer).count("missing") == 1
    assert verdicts(fewer, report).count("new") == 1


def test_compare_names_lost_goals(report):
    before = copy.deepcopy(report)
    case = before["runs"][0]["cases"][0]
    case["goals"] = [{"text": "fast", "against": "1 s", "at_most": 1, "measured": 0.5, "met": True}]
    after = copy.deepcopy(before)
    after["runs"][0]["cases"][0]["goals"][0].update(measured=2, met=False)
    assert [text for _, text in compare.goals_lost(before, after)] == ["fast"]
    assert compare.goals_lost(before, before) == []


def test_compare_as_a_command(report, tmp_path, capsys):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(report))
    new.write_text(json.dumps(slowed(report, 2)))
    assert compare.main([str(old), str(new)]) == 0
    assert compare.main([str(old), str(new), "--fail"]) == 1
    assert compare.main([str(old), str(old), "--fail"]) == 0
    assert "slower" in capsys.readouterr().out
