"""The round's data against the official checker and mlperf.conf of a mlcommons/inference checkout.

The checkout is named by MLPERF_INFERENCE_CHECKOUT. Its constants are read by a subprocess of their own, because its
package would otherwise shadow names of this process. What LoadGen does is read at the commit that each round's wheel
was built from.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.catalogue import Round, load_catalogue

CHECKOUT = os.environ.get("MLPERF_INFERENCE_CHECKOUT")
pytestmark = pytest.mark.skipif(
    CHECKOUT is None, reason="MLPERF_INFERENCE_CHECKOUT names no checkout of mlcommons/inference"
)

ROUNDS = ["v5.1", "v6.0", "v6.1"]
SUITES = {"datacenter": "datacenter", "edge": "edge", "datacenter,edge": "datacenter-edge"}
SCENARIOS = ["SingleStream", "MultiStream", "Server", "Offline", "Interactive"]
NAMES_TO_MAP = [
    "resnet50",
    "mobilenet",
    "mobilenet-v1-1.0-224",
    "efficientnet-lite0",
    "my-resnet50-int8",
    "bert-99.9-sparse",
    "bert-99-pruned",
    "bert-large",
    "llama3_1-8b",
    "llama3_1-8b-edge",
    "llama3_1-405b-fp4",
    "ssd-resnet34",
    "own-model",
    "dlrm-v3",
]
MAPPING = {"own-model": "bert-99", "efficientnet-lite0": "bert-99"}

READ = """
import json, sys
from submission_checker import constants as c
from submission_checker.configuration.configuration import Config
version, names, mapping, scenarios = json.loads(sys.argv[1])
config = Config(version, None)
base = config.base
models = {}
for model in base["models"]:
    targets = {s: config.get_accuracy_target(model, s) for s in scenarios}
    models[model] = {
        "targets": targets,
        "upper": config.get_accuracy_upper_limit(model),
        "delta": {m: config.get_delta_perc(model, m) for m in targets["Offline"][::2]},
        "performance_sample_count": config.get_performance_sample_count(model),
        "accuracy_sample_count": {s: config.get_accuracy_sample_count(model, s) for s in scenarios},
        "dataset_size": config.get_dataset_size(model),
        "min_queries": {s: config.get_min_query_count(model, s) for s in scenarios},
        "offline_min": c.OFFLINE_MIN_SPQ_SINCE_V4.get(model),
        "latency": config.latency_constraint.get(model, {}),
        "tokens": c.LLM_LATENCY_LIMITS.get(model, {}),
        "llm": model in config.get_llm_models(),
        "tests": [t for t in ("01", "04", "06", "07", "08", "09") if model in base.get("models_TEST" + t, ())],
        "result_field": c.RESULT_FIELD_BENCHMARK_OVERWRITE[version].get(model, {}),
        "units": {k: v for k, v in c.SPECIAL_UNIT_DICT.get(model, {}).items() if k in scenarios},
        "artifacts": c.REQUIRED_ACC_BENCHMARK.get(model, {}).get(version, {}),
    }
suites = {s: {k: base[k + "-scenarios-" + s] for k in ("required", "optional")}
          for s in ("datacenter", "edge", "datacenter-edge")}
at = lambda table: table[version]
print(json.dumps({
    "models": models,
    "suites": suites,
    "seeds": config.seeds,
    "aliases": base["model_mapping"],
    "mapped": {n: config.get_mlperf_model(n) for n in names},
    "mapped_with_own": {n: config.get_mlperf_model(n, mapping) for n in names},
    "early_stopping": [s for s in scenarios if config.uses_early_stopping(s)],
    "result_field": at(c.RESULT_FIELD_NEW),
    "units": {s: c.UNIT_DICT[s] for s in scenarios},
    "power_units": {s: c.POWER_UNIT_DICT[s] for s in scenarios},
    "regex": c.ACC_PATTERN,
    "divisions": c.VALID_DIVISIONS,
    "statuses": c.VALID_AVAILABILITIES,
    "scenarios": list(c.SCENARIO_MAPPING.values()),
    "required_fields": c.SYSTEM_DESC_REQUIRED_FIELDS,
    "non_empty_fields": c.SYSTEM_DESC_MEANINGFUL_RESPONSE_REQUIRED_FIELDS,
    "power_fields": c.SYSTEM_DESC_REQUIRED_FIELDS_POWER,
    "network_fields": c.SYSTEM_DESC_REQUIRED_FIELDS_NETWORK_MODE,
    "network_sut": c.NETWORK_MODE_REQUIRED_SUBSTRING_IN_SUT_NAME,
    "measurements": c.SYSTEM_IMP_REQUIRED_FILES,
    "files": {
        "performance": c.REQUIRED_PERF_FILES,
        "with_power": c.REQUIRED_PERF_POWER_FILES,
        "power": c.REQUIRED_POWER_FILES,
        "accuracy": c.REQUIRED_ACC_FILES,
        "scenario": c.REQUIRED_MEASURE_FILES,
        "scenario_power": c.REQUIRED_POWER_MEASURE_FILES,
        "test01": c.REQUIRED_TEST01_ACC_FILES_1,
        "test01_nondeterministic": c.REQUIRED_TEST01_ACC_FILES,
        "compliance_performance": c.REQUIRED_COMP_PER_FILES,
    },
    "limits": [c.TEST_DURATION_MS, c.FILE_SIZE_LIMIT_MB, c.MAX_ACCURACY_LOG_SIZE],
    "test09": [c.TEST09_LOW, c.TEST09_HIGH],
    "layout": {
        "perf_detail": at(c.PERFORMANCE_LOG_PATH),
        "perf_summary": at(c.PERFORMANCE_SUMMARY_PATH),
        "acc_detail": at(c.ACCURACY_LOG_PATH),
        "accuracy_txt": at(c.ACCURACY_RESULT_PATH),
        "accuracy_json": at(c.ACCURACY_JSON_PATH),
        "power_dir": at(c.POWER_DIR_PATH),
        "measurements": at(c.MEASUREMENTS_PATH),
        "compliance_dir": at(c.COMPLIANCE_PATH),
        "system_json": at(c.SYSTEM_PATH),
        "nameplate_power": c.NAMEPLATE_POWER_PATH.get(version),
        "src_dir": at(c.SRC_PATH),
        "test_files": {t: getattr(c, t + "_ACC_PATH").get(version) for t in ("TEST07", "TEST08", "TEST09")},
        "private_id": at(c.PRIVATE_ID_PATH),
    },
    "endpoints": [c.ENDPOINTS_ALLOWED_MODELS, c.ENDPOINTS_COMPLIANCE_MAPPING, c.RESULT_FIELD_ENDPOINTS.get(version)],
    "endpoints_fields": [c.ENDPOINTS_MAPPINGS, c.ENDPOINTS_JSON_ALT_PATHS, c.ENDPOINTS_YAML_FIELD_MAP],
}))
"""


@functools.cache
def official(version: str) -> dict[str, Any]:
    """Return the official constants of a round as JSON."""
    tools = Path(str(CHECKOUT)) / "tools" / "submission"
    done = subprocess.run(
        [sys.executable, "-c", READ, json.dumps([version, NAMES_TO_MAP, MAPPING, SCENARIOS])],
        env={**os.environ, "PYTHONPATH": str(tools), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(params=ROUNDS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ours(version: str) -> Round:
    return load_catalogue().round(version)


@pytest.fixture
def theirs(version: str) -> dict[str, Any]:
    return official(version)


def test_the_round_has_exactly_the_official_models(ours: Round, theirs: dict[str, Any]) -> None:
    assert set(ours.models) == set(theirs["models"])


def test_every_category_has_the_official_scenarios(ours: Round, theirs: dict[str, Any]) -> None:
    for suite, key in SUITES.items():
        for model in theirs["models"]:
            found = ours.scenarios(model, suite)
            required = theirs["suites"][key]["required"].get(model)
            optional = theirs["suites"][key]["optional"].get(model, [])
            if required is None:
                assert found is None, (suite, model)
                continue
            assert found is not None, (suite, model)
            assert (set(found.required), set(found.optional)) == (set(required), set(optional)), (suite, model)
            # The official loader wants one of the two wherever both are optional.
            both = {"Server", "Interactive"} <= set(optional)
            assert set(found.one_of) == ({"Server", "Interactive"} if both else set()), (suite, model)


def test_accuracy_targets_are_the_official_numbers_to_the_last_digit(ours: Round, theirs: dict[str, Any]) -> None:
    for model, facts in theirs["models"].items():
        for scenario in SCENARIOS:
            found = ours.accuracy_targets(model, scenario)
            flat = facts["targets"][scenario]
            minimum = dict(zip(flat[::2], flat[1::2], strict=True))
            assert {one.metric: one.min for one in found if one.min is not None} == pytest.approx(minimum, rel=1e-12)
            upper = facts["upper"] or []
            maximum = dict(zip(upper[::2], upper[1::2], strict=True))
            assert {one.metric: one.max for one in found if one.max is not None} == pytest.approx(maximum, rel=1e-12)


def test_a_compliance_run_may_differ_by_the_official_percentages(ours: Round, theirs: dict[str, Any]) -> None:
    for model, facts in theirs["models"].items():
        for metric, percent in facts["delta"].items():
            assert ours.accuracy_delta_perc(model, metric) == percent, (model, metric)


def test_counts_and_latency_bounds_are_the_official_ones(ours: Round, theirs: dict[str, Any]) -> None:
    for model, facts in theirs["models"].items():
        rules = ours.models[model]
        assert rules.performance_sample_count == facts["performance_sample_count"], model
        assert rules.dataset_size == facts["dataset_size"], model
        for scenario in SCENARIOS:
            expected = facts["accuracy_sample_count"][scenario]
            if isinstance(expected, int):  # for a scenario that its table lacks, upstream returns the table itself
                assert ours.accuracy_sample_count(model, scenario) == expected, (model, scenario)
        assert dict(rules.min_queries) == {k: v for k, v in facts["min_queries"].items() if v is not None}, model
        assert rules.offline_min_samples_per_query == facts["offline_min"], model
        assert dict(rules.target_latency_ns) == facts["latency"], model
        limits = {scenario: limit.model_dump() for scenario, limit in rules.token_latency_limits_ns.items()}
        assert limits == facts["tokens"], model
        assert rules.requires_token_latencies == facts["llm"], model


def test_compliance_tests_metrics_and_units_are_the_official_ones(ours: Round, theirs: dict[str, Any]) -> None:
    for model, facts in theirs["models"].items():
        rules = ours.models[model]
        assert [test.removeprefix("TEST") for test in rules.compliance] == facts["tests"], model
        assert dict(rules.result_field_override) == facts["result_field"], model
        assert dict(rules.units_override) == facts["units"], model
        artifacts = {kind: list(one.stems) for kind, one in rules.required_accuracy_artifacts.items()}
        assert artifacts == facts["artifacts"], model
    assert dict(ours.result_field) == theirs["result_field"] | {"Interactive": "result_completed_samples_per_sec"}
    assert dict(ours.units_default) == theirs["units"]
    assert dict(ours.power_units) == theirs["power_units"]
    bounds = {model: one for test in ours.compliance_files.values() for model, one in test.mean_output_tokens.items()}
    assert list(bounds.get("gpt-oss-120b", theirs["test09"])) == theirs["test09"]
    assert set(ours.compliance_files) == {test for rules in ours.models.values() for test in rules.compliance}
    assert set(bounds) == {name for name, rules in ours.models.items() if "TEST09" in rules.compliance}


def test_seeds_aliases_and_the_guess_for_unknown_names_are_official(ours: Round, theirs: dict[str, Any]) -> None:
    assert ours.seeds.model_dump() == theirs["seeds"]
    assert ours.model_aliases == theirs["aliases"]
    for name in NAMES_TO_MAP:
        without, with_own = theirs["mapped"][name], theirs["mapped_with_own"][name]
        assert ours.official_name(name) == (without if without in ours.models else None), name
        assert ours.official_name(name, MAPPING) == (with_own if with_own in ours.models else None), name


def test_patterns_and_fields_are_the_official_ones(ours: Round, theirs: dict[str, Any]) -> None:
    assert ours.accuracy_regex == theirs["regex"]
    description = ours.system_description
    assert list(description.required) == theirs["required_fields"]
    assert list(description.non_empty) == theirs["non_empty_fields"]
    assert list(description.required_power_not_enforced) == theirs["power_fields"]
    assert list(description.required_network) == theirs["network_fields"]
    assert description.network_sut_name_substring == theirs["network_sut"]
    assert list(ours.measurements_required_non_empty) == theirs["measurements"]
    assert sorted(ours.divisions) == sorted(theirs["divisions"])
    assert list(ours.statuses) == theirs["statuses"]
    assert sorted(ours.scenario_names) == sorted(theirs["scenarios"])


def test_files_and_paths_are_the_official_ones(ours: Round, theirs: dict[str, Any]) -> None:
    files, expected = ours.required_files, theirs["files"]
    assert list(files.performance.required) == expected["performance"]
    assert list(files.performance.with_power_also) == expected["with_power"]
    assert list(files.power.required) == expected["power"]
    assert list(files.accuracy.required) == expected["accuracy"]
    assert list(files.measurements_dir.with_power_also_glob) == expected["scenario_power"]
    test01 = ours.compliance_files["TEST01"]
    assert list(test01.folders["accuracy"]) == expected["test01"]
    assert list(test01.folders_if_nondeterministic["accuracy"]) == expected["test01_nondeterministic"]
    for test in ("TEST01", "TEST04"):
        assert list(ours.compliance_files[test].folders["performance/run_1"]) == expected["compliance_performance"]
    paths, wanted = ours.layout.model_dump(), dict(theirs["layout"])
    tests = {test: None if path is None else Path(path).name for test, path in wanted.pop("test_files").items()}
    assert {test: ours.compliance_files[test].files[0] for test in tests if test in ours.compliance_files} == {
        test: name for test, name in tests.items() if name is not None
    }
    folder, _, file = wanted.pop("measurements").rpartition("/")
    assert paths["measurements_dir"] == folder
    if file == "{file}":  # the first that begins with the system's name
        assert paths["measurements"].startswith(folder + "/{system}")
        assert paths["measurements_also"][-1] == "{system}*.json"
        assert set(theirs["files"]["scenario"]) == set(ours.required_files.measurements_dir.required)
    else:
        assert paths["measurements"] == f"{folder}/{file}"
        assert set(theirs["files"]["scenario"]) | {file} == set(ours.required_files.measurements_dir.required)
    assert {key: paths[key] for key in wanted} == wanted


def test_limits_and_endpoints_are_the_official_ones(ours: Round, theirs: dict[str, Any]) -> None:
    limits = ours.limits
    assert [limits.min_duration_ms, limits.file_size_limit_mb, limits.accuracy_log_max_bytes] == theirs["limits"]
    assert sorted(limits.early_stopping_scenarios) == sorted(theirs["early_stopping"])
    endpoints = ours.endpoints
    models, tests, fields = theirs["endpoints"]
    # The list of models knows no rounds; the fields of a result say which round has such results at all.
    expected = [[], {}, {}] if fields is None else [models, tests, fields]
    assert [list(endpoints.allowed_models), endpoints.compliance, endpoints.result_field] == expected


def test_scores_of_endpoints_are_compared_of_the_same_benchmarks_as_officially() -> None:
    check = Path(str(CHECKOUT)) / "tools/submission/submission_checker/checks/accuracy_check.py"
    named = re.findall(r'self\.model == "([^"]+)"', check.read_text(encoding="utf-8"))
    assert list(load_catalogue().round("v6.1").endpoints.accuracy_compared) == named


def test_fields_of_endpoints_are_the_official_ones(ours: Round, theirs: dict[str, Any]) -> None:
    mapping, alternatives, settings = theirs["endpoints_fields"]
    fields = {loadgen: path for path, loadgen in mapping.items()}
    for key, paths in ours.endpoints.exported.items():
        expected = [fields[key], *([alternatives[fields[key]]] if fields[key] in alternatives else [])]
        assert list(paths) == expected, key
    for key, path in fields.items():
        if key in ours.endpoints.exported and path in settings:
            assert list(ours.endpoints.settings[key]) == [settings[path], path], key
    assert set(ours.endpoints.settings) <= set(ours.endpoints.exported)


def source(round_: Round, path: str) -> str:
    """Return a file of the commit that the round's LoadGen was built from; skip where the checkout lacks it."""
    return at_commit(round_.loadgen.commit, path)


def at_commit(commit: str, path: str) -> str:
    """Return a file of a commit; skip where the checkout lacks it."""
    done = subprocess.run(
        ["git", "-C", str(CHECKOUT), "show", f"{commit}:{path}"],
        env={**os.environ, "GIT_NO_LAZY_FETCH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"git in {CHECKOUT} has no {path} of commit {commit[:12]}: {done.stderr.strip()}")
    return done.stdout


def embedded_conf(round_: Round) -> dict[tuple[str, str], dict[str, float]]:
    """Return mlperf.conf as (model, scenario) -> key -> value."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    line = re.compile(r"^([^#\s]+)\.(\*|\w+)\.(\w+)\s*=\s*(\S+)")
    for text in source(round_, "loadgen/mlperf.conf").splitlines():
        match = line.match(text)
        if match and not match[3].endswith("_seed"):
            found.setdefault((match[1], match[2]), {})[match[3]] = float(match[4])
    return found


def test_the_embedded_configuration_is_what_the_round_says(ours: Round) -> None:
    conf = embedded_conf(ours)
    assert {("*", key): value for key, value in ours.loadgen_conf_defaults.items()} == {
        key: value for key, value in conf.items() if key[0] == "*"
    }
    for model, rules in ours.models.items():
        own = rules.loadgen_conf
        for name, settings in ((own.conf_model, own.settings), (own.interactive_conf_model, own.interactive_settings)):
            expected = {scenario: value for (conf_model, scenario), value in conf.items() if conf_model == name}
            assert dict(settings) == expected, (model, name)


def test_no_model_of_the_embedded_configuration_is_left_out(ours: Round) -> None:
    known = {rules.loadgen_conf.conf_model for rules in ours.models.values()}
    known |= {rules.loadgen_conf.interactive_conf_model for rules in ours.models.values()}
    assert {model for model, _ in embedded_conf(ours)} - {"*"} - known == RETIRED_BUT_CONFIGURED[ours.name]


def test_the_seeds_are_those_that_are_compiled_into_the_wheel(ours: Round) -> None:
    text = source(ours, "loadgen/mlperf.conf")
    seeds = dict(re.findall(r"^\*\.\*\.(\w+_rng_seed)\s*=\s*(\d+)", text, re.MULTILINE))
    assert {name: int(seeds[name]) for name in ours.seeds.model_dump()} == ours.seeds.model_dump()
    assert source(ours, "loadgen/VERSION.txt").strip() == ours.loadgen.version


# Models that LoadGen's file still configures although the round has no such benchmark.
RETIRED_BUT_CONFIGURED = {
    "v5.1": {"ssd-mobilenet", "dlrm", "rnnt", "gptj"},
    "v6.0": {"ssd-mobilenet", "dlrm", "dlrm-v2", "rnnt", "gptj"},
}
RETIRED_BUT_CONFIGURED["v6.1"] = RETIRED_BUT_CONFIGURED["v6.0"] | {
    "retinanet",
    "mixtral-8x7b",
    "pointpainting",
    "llama3_1-405b",
    "llama3_1-405b-interactive",
}
LOOKUP = re.compile(r'lookupkv\(\s*model,\s*("\w+"|scenario),\s*"(\w+)",\s*([^,]+),')
MARKS = (
    "if (conf_type == 0) {\n    lookupkv",  # embedded file only
    "keys that can be overriden in user.conf but will make",  # open division only
    "keys that can be overriden in user.conf (the provided",  # every division
    "keys that are used in audit.conf",
)


def test_user_conf_rules_are_what_loadgen_reads_and_says_of_it(ours: Round) -> None:
    code = source(ours, "loadgen/test_settings_internal.cc")
    starts = [code.index(mark) for mark in MARKS]
    never, open_only, every, audit = (
        LOOKUP.findall(code[start:end]) for start, end in zip(starts, [*starts[1:], len(code)], strict=True)
    )
    before = {key for _, key, _ in LOOKUP.findall(code[: starts[0]])}
    rules = ours.user_conf
    assert {key for _, key, _ in never} == set(rules.never)
    assert {key for _, key, _ in audit} | before == set(rules.audit_only)
    expected = set()
    for part, divisions in ((open_only, {"open"}), (every, {"open", "closed", "network"})):
        for scenario, key, target in part:
            value = "float" if target in {"nullptr", "0"} else "bool" if target == "&val" else "int"
            value = "int" if key == "max_async_queries" else value  # read by way of &val too
            for name in SCENARIOS[:4] if scenario == "scenario" else [scenario.strip('"')]:
                expected.add((key, name, value, frozenset(divisions)))
    assert expected == {
        (key, scenario, rule.value, frozenset(rule.divisions))
        for key, many in rules.keys.items()
        for rule in many
        for scenario in rule.scenarios
    }


def test_rules_that_stand_only_in_the_checks_code_are_the_same(ours: Round) -> None:
    checks = Path(str(CHECKOUT)) / "tools" / "submission" / "submission_checker" / "checks"
    performance = (checks / "performance_check.py").read_text()
    pairs = re.search(r"list_inferred = \[(.*?)\]", performance, re.DOTALL)
    assert pairs is not None
    inferred = re.findall(r'\("(\w+)", "(\w+)"\)', pairs[1])
    assert [(one.lower(), other.lower()) for one, other in ours.inference_allowed_edge] == inferred
    exempt = re.search(r"self\.model in \((.*?)\):", performance)
    assert exempt is not None
    named = re.findall(r'"([^"]+)"', exempt[1])  # whatever the round
    assert list(ours.limits.min_duration_exempt_models) == [name for name in named if name in ours.models]
    assert f'r"{ours.hash_regex}"' in (checks / "accuracy_check.py").read_text()


def test_bounds_that_stand_in_the_official_tools_are_the_same(ours: Round) -> None:
    tools = Path(str(CHECKOUT))
    truncate = (tools / "tools" / "submission" / "truncate_accuracy_log.py").read_text()
    assert f"VIEWABLE_SIZE = {ours.limits.accuracy_log_viewable_bytes}" in truncate
    for test, files in ours.compliance_files.items():
        assert (tools / "compliance" / test).is_dir()
        for model, bounds in files.mean_output_tokens.items():
            config = "\n".join(path.read_text() for path in (tools / "compliance" / test / model).glob("*.config"))
            assert all(str(bound) in config for bound in bounds), (model, config)


def test_reference_implementations_are_where_the_catalogue_says() -> None:
    named = {one.name: one.reference for one in load_catalogue().benchmarks.values() if one.reference}
    assert {name for name, folder in named.items() if not (Path(str(CHECKOUT)) / folder).is_dir()} == set()


def test_the_release_checker_of_a_round_is_at_its_commit(ours: Round) -> None:
    release = ours.checker.release
    if release is None:
        pytest.skip(f"round {ours.name} has no other checker of its own time")
    assert f'"{ours.name}": {{' in at_commit(release.commit, release.script)


READ_EARLIER = """
import ast, json, sys
version, text = json.load(sys.stdin)
for node in ast.parse(text).body:
    if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "MODEL_CONFIG":
        base = eval(compile(ast.Expression(node.value), "MODEL_CONFIG", "eval"), {"__builtins__": {}})[version]
print(json.dumps(base))
"""
# Models that a checker lists although no round ever had them.
NEVER_ADOPTED = {"v3.1": {"gpt3-99", "gpt3-99.9"}}


@pytest.mark.parametrize("name", load_catalogue().earlier_rounds)
def test_earlier_rounds_are_what_their_checkers_say(name: str) -> None:
    ours = load_catalogue().earlier_rounds[name]
    (path,) = ours.source.files
    text = at_commit(ours.source.commit, path)
    done = subprocess.run(
        [sys.executable, "-c", READ_EARLIER],
        input=json.dumps([name, text]),
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(done.stdout)
    assert set(ours.models) == set(theirs["models"]) - NEVER_ADOPTED.get(name, set())
    for model, rules in ours.models.items():
        flat, upper = theirs["accuracy-target"][model], theirs.get("accuracy-upper-limit", {}).get(model, [])
        assert {one.metric: one.min for one in rules.accuracy} == pytest.approx(
            dict(zip(flat[::2], flat[1::2], strict=True)), rel=1e-9
        )
        maximum = dict(zip(upper[::2], upper[1::2], strict=True))
        assert {one.metric: one.max for one in rules.accuracy if one.max is not None} == pytest.approx(
            maximum, rel=1e-9
        )
        assert rules.performance_sample_count == theirs["performance-sample-count"][model]
        for suite in ("datacenter", "edge"):
            found = next((one for key, one in rules.suites.items() if key == suite), None)
            required = theirs.get(f"required-scenarios-{suite}", {}).get(model, [])
            optional = theirs.get(f"optional-scenarios-{suite}", {}).get(model, [])
            assert (set(required), set(optional)) == (
                (set(), set()) if found is None else (set(found.required), set(found.optional))
            ), (model, suite)
        tests = {test for test in ("01", "04", "06") if model in theirs.get(f"models_TEST{test}", [])}
        if "models_TEST01" in theirs:  # older checkers say it in code
            assert set(rules.compliance) == {f"TEST{test}" for test in tests}, model
