from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.catalogue import Catalogue, load_catalogue, read_catalogue
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json, pretty_json
from mlperf_ops.model import Spec
from mlperf_ops.plan import make_plan, refuse_other_round
from mlperf_ops.plan_model import Plan, PlannedCell, SampleGuess
from mlperf_ops.typed import dump, load

CATALOGUE = load_catalogue()
LITE0: dict[str, Json] = {"benchmark": "efficientnet-lite0"}
RESNET: dict[str, Json] = {"benchmark": "resnet50"}
OWN_FILES: Json = {
    "imagenet": {"path": "/data/imagenet", "label_file": "/data/val_map.txt"},
    "resnet50": {"path": "/models/resnet50_v1.onnx"},
}


def host(*benchmarks: dict[str, Json], **more: Json) -> dict[str, Json]:
    return {
        "mlperf_round": "v6.1",
        "mlperf_division": "open",
        "mlperf_submitter": "Example",
        "mlperf_home": "/srv/mlperf",
        "mlperf_system_type": "edge",
        "mlperf_test_query_count": 700,
        "mlperf_benchmarks": list(benchmarks or (LITE0,)),
        **{f"mlperf_{key}": value for key, value in more.items()},
    }


def plan(catalogue: Catalogue = CATALOGUE, /, **hosts: dict[str, Json]) -> Plan:
    return make_plan(hosts, catalogue, "inventory/lab", lambda _host, _path, _value: "")[0]


def refused(**hosts: dict[str, Json]) -> str:
    with pytest.raises(ConfigError) as caught:
        plan(**hosts)
    return str(caught.value)


def keys(made: Plan) -> list[str]:
    return [cell.cell.key for cell in made.cells if cell.status == "planned"]


def cell(made: Plan, end: str) -> PlannedCell:
    return next(one for one in made.cells if one.cell.key.endswith(end))


def spec(made: Plan, end: str) -> Spec:
    return load(Spec, cell(made, end).request, end)


def test_the_embedded_default_runs_all_four_scenarios_in_both_modes() -> None:
    made = plan(a=host())
    assert keys(made) == [
        f"a/efficientnet-lite0/{scenario}/{mode}"
        for scenario in ("SingleStream", "MultiStream", "Server", "Offline")
        for mode in ("accuracy", "performance")
    ]
    assert made.run_id == "lab"
    assert made.hosts[0].components == ("efficientnet-lite0", "imagenet-20")
    assert made.hosts[0].requirements == "harness-v6.1.txt"
    assert {one.name: one.path for one in made.components} == {"efficientnet-lite0": None, "imagenet-20": None}


def test_a_request_holds_everything_but_what_only_the_host_knows() -> None:
    made = spec(plan(a=host()), "Offline/performance")
    assert made.official_benchmark == "resnet"
    assert made.argv[0] == "{python}"
    assert made.packages == {}
    assert made.model is not None
    assert (made.model.path, made.dataset.path) == ("", "")
    assert made.dataset.total_count is None  # 700 queries are more than the 20 samples
    assert (made.accuracy.metric, made.accuracy.minimum, made.accuracy.gate) == ("acc", 75.6954, False)
    assert made.loadgen.user_conf.startswith(
        "resnet50.Offline.target_qps = 1\nresnet50.Offline.max_query_count = 700\n"
    )
    assert made.loadgen.expect["effective_accuracy_sample_count"] == 20
    assert made.loadgen.expect["effective_qsl_rng_seed"] == 2085463073848966840


def test_equal_input_gives_equal_bytes_whatever_the_order_of_the_keys() -> None:
    one, two = host(), host(system="b")
    backwards = {key: two[key] for key in reversed(two)}
    assert pretty_json(dump(plan(a=one, b=two))) == pretty_json(dump(plan(b=backwards, a=one)))


def test_the_plan_survives_its_file() -> None:
    made = plan(a=host(RESNET, division="closed", components=OWN_FILES))
    assert load(Plan, dump(made), "plan.json") == made


def test_a_server_rate_that_the_user_gives_is_no_guess() -> None:
    given = plan(a=host(targets={"efficientnet-lite0": {"Server": {"target_qps": 50}}}))
    assert "latency-constraint" not in {limit.rule for limit in given.limits}


@pytest.mark.parametrize("style", ["test", "fast"])
def test_a_short_run_at_a_learnt_server_rate_may_miss_its_latency(style: str) -> None:
    learnt: Json = {"efficientnet-lite0": {"Server": {"target_qps": 50}}}
    made = {limit.rule: limit.because for limit in plan(a=host(run_style=style, measured_targets=learnt)).limits}
    assert made["latency-constraint"] == (
        f"50.5 Server queries per second are learnt from Offline, and run style {style} is too short to say that they "
        "keep the latency limit"
    )
    valid = plan(a=host(run_style="valid", measured_targets=learnt))
    assert "latency-constraint" not in {limit.rule for limit in valid.limits}


def test_a_demonstration_names_its_limits() -> None:
    made = {limit.rule: (limit.benchmark, limit.because) for limit in plan(a=host()).limits}
    assert made["dataset-size"] == ("efficientnet-lite0", "20 of 50,000 images")
    assert made["min-duration"] == ("efficientnet-lite0", "run style test asks for 0 s; the round wants 600 s")
    assert "700 of 24,576 Offline samples" in made["min-queries"][1]
    guess = made["latency-constraint"][1]
    assert "a guess: no target of this system is known yet ('mlperf-ops targets -i inventory/lab --write'" in guess
    assert set(made) == {
        *("dataset-size", "min-duration", "min-queries"),
        *("early-stopping", "loadgen-validity", "latency-constraint", "result-value"),
    }


def test_a_full_run_on_few_images_has_no_limit_but_their_number() -> None:
    assert [limit.rule for limit in plan(a=host(run_style="valid")).limits] == ["dataset-size"]
    own = plan(a=host(RESNET, division="closed", run_style="valid", components=OWN_FILES))
    assert own.limits == ()


def test_the_official_workload_by_path() -> None:
    made = plan(a=host(RESNET, division="closed", run_style="valid", components=OWN_FILES))
    assert [key.split("/")[2] for key in keys(made)][::4] == ["SingleStream", "MultiStream", "Offline"]
    assert [key.split("/")[3] for key in keys(made)][:4] == ["accuracy", "performance", "TEST01", "TEST04"]
    request = spec(made, "Offline/accuracy")
    assert request.model is not None
    assert (request.model.path, request.model.sha256) == ("/models/resnet50_v1.onnx", "")
    assert (request.model.input_name, request.model.output_name) == ("input_tensor:0", "ArgMax:0")
    assert (request.dataset.path, request.dataset.label_file) == ("/data/imagenet", "/data/val_map.txt")
    assert request.accuracy.gate
    assert "effective_accuracy_sample_count" not in request.loadgen.expect  # the user's folder decides
    assert {one.name: one.source for one in made.components} == {
        "imagenet": "the user's own files",
        "resnet50": "the user's own files",
    }


def test_a_given_data_set_is_preferred_to_the_embedded_one() -> None:
    made = plan(a=host(components={"imagenet": {"path": "/data/imagenet"}}))
    assert spec(made, "Offline/accuracy").dataset.component == "imagenet"
    assert spec(made, "Offline/accuracy").dataset.label_file == "val_map.txt"
    assert "sample_count" in cell(made, "Offline/accuracy").notes[0]
    chosen = plan(a=host({**LITE0, "dataset": "imagenet-20"}, components={"imagenet": {"path": "/data/imagenet"}}))
    assert spec(chosen, "Offline/accuracy").dataset.component == "imagenet-20"


def test_fewer_samples_on_request_and_never_more_than_there_are() -> None:
    made = plan(a=host({**LITE0, "sample_count": 5}))
    assert spec(made, "Offline/accuracy").dataset.total_count == 5
    assert {limit.because for limit in made.limits if limit.rule == "dataset-size"} == {"5 of 50,000 images"}
    assert spec(plan(a=host(test_query_count=10)), "Offline/accuracy").dataset.total_count == 10
    assert "21 samples are asked for; imagenet-20 has 20" in refused(a=host({**LITE0, "sample_count": 21}))


# --- impossible cells ------------------------------------------------------------------------------------------------


def reasons(made: Plan) -> set[str]:
    return {one.reason or "" for one in made.cells if one.status == "impossible"}


def test_a_missing_data_set_says_how_to_get_it() -> None:
    made = plan(a=host(LITE0, RESNET, components={"resnet50": {"path": "/m.onnx"}}))
    (reason,) = reasons(made)
    assert reason.startswith("data set 'imagenet' is not given: Register at image-net.org")
    assert made.hosts[0].components == ("efficientnet-lite0", "imagenet-20")


def test_a_missing_model_says_how_to_get_it() -> None:
    (reason,) = reasons(plan(a=host(LITE0, RESNET)))
    assert reason.startswith("model 'resnet50' is not given: Download resnet50_v1.onnx")


def test_a_model_of_ones_own_is_impossible_in_closed() -> None:
    made = plan(a=host(LITE0, RESNET, division="closed", components=OWN_FILES))
    (reason,) = reasons(made)
    assert reason.startswith("'efficientnet-lite0' is not the official model of resnet, which the closed division ")


def test_a_scenario_that_the_round_does_not_allow_is_impossible_in_closed_and_possible_in_open() -> None:
    asked: dict[str, Json] = {**RESNET, "scenarios": ["Server", "Offline"]}
    made = plan(a=host(asked, division="closed", components=OWN_FILES))
    (reason,) = reasons(made)
    assert reason.startswith("round v6.1 does not allow Server for resnet on edge systems in the closed division; ")
    assert reason.endswith("it allows SingleStream, MultiStream, Offline")
    assert reasons(plan(a=host(asked, components=OWN_FILES))) == set()
    both = plan(a=host(asked, division="closed", components=OWN_FILES, system_type="datacenter,edge"))
    assert reasons(both) == set()


def test_a_scenario_without_configuration_is_impossible() -> None:
    made = plan(a=host({**LITE0, "scenarios": ["Interactive", "Offline"]}))
    assert reasons(made) == {
        "round v6.1 knows no Interactive scenario for resnet; it has SingleStream, MultiStream, Server, Offline"
    }


def test_a_benchmark_that_is_only_data_says_what_is_missing() -> None:
    made = plan(a=host(LITE0, {"benchmark": "mobilenet-v3-small", "modes": ["performance"], "scenarios": ["Offline"]}))
    assert reasons(made) == {"No package holds its weights; give a component with a converted ONNX to run it."}


@pytest.mark.parametrize("name", CATALOGUE.rounds)
def test_every_round_can_be_planned_with_its_own_loadgen(name: str) -> None:
    round_ = CATALOGUE.round(name)
    made = plan(a=host(LITE0, round=name))
    assert len(keys(made)) == 8
    assert made.hosts[0].requirements == f"harness-{name}.txt"
    request = spec(made, "Offline/accuracy")
    assert (request.round, request.loadgen.expect["effective_qsl_rng_seed"]) == (name, round_.seeds.qsl_rng_seed)
    assert round_.loadgen.version in CATALOGUE.lock_path(made.hosts[0].requirements).read_text()


def test_a_benchmark_of_another_round_says_which_rounds_had_it_and_what_is_there_now() -> None:
    old, gone = sorted(reasons(plan(a=host(LITE0, {"benchmark": "ssd-resnet34"}, {"benchmark": "mixtral"}))))[::-1]
    assert old.startswith("round v6.1 has no benchmark 'ssd-resnet34': it was in v0.5 to v2.0, and retinanet ")
    assert old.endswith(" (v2.1 to v6.0), then yolo-99 took its place")
    assert gone.endswith("'mixtral-8x7b': it was in v4.1 to v6.0, and the round has nothing in its place")
    asked: dict[str, Json] = {"benchmark": "retinanet", "scenarios": ["Offline"]}
    new, missing = sorted(reasons(plan(a=host(LITE0, {"benchmark": "yolo"}, asked, round="v5.1"))))[::-1]
    assert new == "round v5.1 has no benchmark 'yolo-99': it is new in v6.0"
    assert missing.startswith("The harness has no task object_detection for it yet; its weights and ")


def test_a_round_that_can_only_be_looked_up_cannot_be_planned() -> None:
    assert refused(a=host(round="v4.1")).endswith(
        "mlperf_round: round v4.1 can only be looked up; expected one of v5.1, v6.0, v6.1 "
        "(mlperf-ops catalogue show v4.1)"
    )


def test_a_plan_of_impossible_cells_only_is_refused_with_the_reason() -> None:
    said = refused(a=host(system_type="datacenter"))
    assert said.startswith("nothing can run: a/efficientnet-lite0/SingleStream/accuracy: ")
    assert "round v6.1 has no resnet for datacenter systems; 7 more cells" in said
    assert "cannot measure over a network" in refused(a=host(RESNET, division="network", components=OWN_FILES))


# --- the user's mistakes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (host({"benchmark": "resnet5"}), "mlperf_benchmarks[0].benchmark: unknown benchmark 'resnet5'; "),
        (host({**LITE0, "scenarios": ["Servr"]}), "mlperf_benchmarks[0].scenarios[0]: unknown scenario 'Servr'; "),
        (host({**LITE0, "scenarios": "al"}), "mlperf_benchmarks[0].scenarios: unknown scenario 'al'; "),
        (host({**LITE0, "framework": "onnxrt"}), "mlperf_benchmarks[0].framework: unknown framework 'onnxrt'; "),
        (host({**LITE0, "implementation": "harnes"}), "mlperf_benchmarks[0].implementation: unknown implementation "),
        (host({**LITE0, "dataset": "imagnet"}), "mlperf_benchmarks[0].dataset: unknown component 'imagnet'; "),
        (host({**LITE0, "dataset": "resnet50"}), "mlperf_benchmarks[0].dataset: component 'resnet50' is a model, not "),
        (host({**LITE0, "cmd_prefix": "numactl '"}), "mlperf_benchmarks[0].cmd_prefix: not a command line"),
        (host({**LITE0, "backend": {"device": "gpu"}}), "mlperf_benchmarks[0].backend.device: unknown device 'gpu'"),
        (host(round="v6.2"), "mlperf_round: unknown round 'v6.2'; "),
        (host(system_type="edgy"), "mlperf_system_type: unknown system type 'edgy'; "),
        (host(targets={"resnet5": {}}), "mlperf_targets.resnet5: unknown benchmark 'resnet5'; "),
        (host(targets={"resnet50": {"Ofline": {}}}), "mlperf_targets.resnet50: unknown scenario 'Ofline'; "),
        (
            host(targets={"efficientnet-lite0": {"Offline": {"target_qsp": 1}}}),
            "mlperf_targets.efficientnet-lite0.Offline: unknown user.conf key 'target_qsp'; did you mean 'target_qps'?",
        ),
        (
            host(measured_targets={"efficientnet-lite0": {"Offline": {"min_query_count": 1}}}),
            "mlperf_measured_targets.efficientnet-lite0.Offline: expected only target_qps, found min_query_count",
        ),
        (host(components={"imgnet": {"path": "/d"}}), "mlperf_components.imgnet: unknown component 'imgnet'; "),
        (
            host(components={"resnet50": {"path": "/m", "label_file": "x"}}),
            "mlperf_components.resnet50.label_file: component 'resnet50' is a model; only a data set has labels",
        ),
    ],
)
def test_a_mistake_names_its_place_and_the_nearest_name(variables: dict[str, Json], sentence: str) -> None:
    said = refused(a=variables)
    assert said.startswith(f"host a: {sentence}")
    if "unknown" in sentence:
        assert "did you mean" in said


def test_a_forbidden_key_of_the_closed_division_is_refused() -> None:
    said = refused(
        a=host(
            RESNET,
            division="closed",
            system_type="datacenter,edge",
            components=OWN_FILES,
            targets={"resnet": {"Server": {"target_qps": 100, "target_latency_ms": 50}}},
        )
    )
    assert said.startswith("host a: mlperf_targets.resnet.Server: user.conf key 'target_latency' is not allowed")
    assert "closed division" in said


def test_the_same_cell_on_two_hosts_is_refused() -> None:
    said = refused(a=host(system="box"), b=host(system="box"))
    assert "cell box/efficientnet-lite0/SingleStream/accuracy is planned on host a and on host b" in said


def test_the_same_cell_twice_on_a_host_is_refused_also_under_an_alias() -> None:
    said = refused(a=host(RESNET, {"benchmark": "resnet"}, components=OWN_FILES))
    assert "mlperf_benchmarks[1].benchmark: cell a/resnet50/SingleStream/accuracy is planned twice" in said


def test_a_results_folder_of_another_round_is_refused() -> None:
    made = plan(a=host())
    refuse_other_round(made, dump(made), "results/lab/plan.json")
    with pytest.raises(
        ConfigError, match=r"results/lab/plan.json belongs to round v6.0, and the inventory now says v6.1"
    ):
        refuse_other_round(made, {**dump(made), "round": "v6.0"}, "results/lab/plan.json")


# --- options of a cell -----------------------------------------------------------------------------------------------


def test_streams_and_threads_are_the_implementations_unless_the_user_says_otherwise() -> None:
    entry: dict[str, Json] = {**LITE0, "backend": {"max_batch": 2, "Offline": {"streams": 3, "max_batch": 16}}}
    made = plan(a=host(entry))
    defaults = CATALOGUE.implementation("harness").backend_defaults
    for scenario in ("SingleStream", "MultiStream", "Server"):
        options = spec(made, f"{scenario}/performance").backend
        default = defaults[scenario]
        assert (options.streams, options.intra_op_threads) == (default.streams, default.intra_op_threads)
        assert options.max_batch == 2
    offline = spec(made, "Offline/performance").backend
    assert (offline.streams, offline.max_batch) == (3, 16)
    assert offline.intra_op_threads == defaults["Offline"].intra_op_threads


def test_a_command_prefix_and_arguments_stand_around_the_implementations_argv() -> None:
    entry: dict[str, Json] = {**LITE0, "cmd_prefix": "numactl -N0 'a b'", "extra_args": ["--x"], "env": {"A": "1"}}
    made = spec(plan(a=host(entry)), "Offline/performance")
    assert made.argv[:4] == ("numactl", "-N0", "a b", "{python}")
    assert made.argv[-1] == "--x"
    assert made.env == {"A": "1"}


def test_a_stand_in_is_marked_and_needs_no_model() -> None:
    made = plan(a=host({**RESNET, "implementation": "dummy", "dataset": "imagenet-20"}))
    request = spec(made, "Offline/performance")
    assert request.simulated
    assert request.model is None
    assert request.backend.name == "oracle"
    assert request.backend.max_batch == 1
    assert made.hosts[0].components == ("imagenet-20",)


def test_one_benchmark_may_have_a_run_style_of_its_own() -> None:
    made = plan(a=host({**LITE0, "run_style": "valid"}, run_style="test"))
    assert spec(made, "Offline/performance").run_style == "valid"
    assert made.run_style == "test"


def test_only_the_changed_cell_gets_another_request() -> None:
    before = plan(a=host(run_style="valid"))
    after = plan(a=host(run_style="valid", targets={"efficientnet-lite0": {"Server": {"target_qps": 90}}}))
    changed = [
        one.cell.key
        for one, other in zip(before.cells, after.cells, strict=True)
        if one.request_sha256 != other.request_sha256
    ]
    assert changed == ["a/efficientnet-lite0/Server/accuracy", "a/efficientnet-lite0/Server/performance"]


# --- expected durations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "targets", "end", "low", "high"),
    [
        ("valid", {"Offline": {"target_qps": 100}}, "Offline/performance", 594.0, 726.0),
        ("valid", {"Offline": {"target_qps": 10}}, "Offline/performance", 2211.8, 2703.4),  # 24,576 samples
        ("valid", {"SingleStream": {"target_latency_ms": 5}}, "SingleStream/performance", 600.0, 660.0),
        ("valid", {}, "SingleStream/performance", 600.0, 660.0),
        ("valid", {"MultiStream": {"target_latency_ms": 1000}}, "MultiStream/performance", 662.0, 728.2),
        ("valid", {"Server": {"target_qps": 100}}, "Server/performance", 600.0, 660.0),
        ("test", {}, "Server/performance", 41.2, 45.3),  # 700 queries at 17 per second
        ("test", {"SingleStream": {"target_latency_ms": 5}}, "SingleStream/performance", 3.5, 3.9),
        ("test", {"SingleStream": {"target_latency_ms": 5}}, "SingleStream/accuracy", 0.1, 0.1),
        ("test", {}, "Offline/performance", 1.0, 30.0),
        ("test", {}, "MultiStream/performance", 8.0, 240.0),
        ("fast", {"SingleStream": {"target_latency_ms": 5}}, "SingleStream/performance", 240.0, 264.0),
    ],
)
def test_expected_seconds(style: str, targets: dict[str, Any], end: str, low: float, high: float) -> None:
    expected = cell(plan(a=host(run_style=style, targets={"efficientnet-lite0": targets})), end).expected
    assert expected is not None
    # One second of warm-up, and none to half a minute of loading and scoring.
    assert (expected.low, expected.high) == pytest.approx((low + 1, high + 31))
    assert expected.source == ("target" if targets else "rule")
    assert expected.why


def test_an_unknown_speed_gives_no_invented_duration() -> None:
    made = plan(a=host(run_style="valid"))
    assert cell(made, "Server/performance").expected is None  # nobody published a Server run of resnet in v5.1
    note = cell(made, "Offline/performance").notes[0]
    assert "no target is known" in note
    assert "`mlperf-ops run -i inventory/lab --style test` and then `mlperf-ops targets -i inventory/lab" in note
    assert cell(made, "Offline/accuracy").notes == ()


def test_a_whole_data_set_is_no_matter_of_seconds_by_the_run_style() -> None:
    made = plan(a=host(components={"imagenet": {"path": "/data/imagenet"}}))
    server, offline = (cell(made, f"{name}/accuracy").expected for name in ("Server", "Offline"))
    assert server is not None
    # 50,000 samples at 17 per second, or 1: nobody knows yet how many files the user has.
    assert server.guess == SampleGuess("imagenet", 50_000, shortest=2648.1, beside=31.0)
    assert (server.source, server.low, server.high) == ("rule", 1.0, 3266.3)
    assert server.why == "50,000 samples, if imagenet has so many samples"
    assert offline is not None
    assert offline.source == "prior"
    assert cell(made, "Offline/performance").expected is not None


def test_a_cell_of_which_nothing_is_known_is_taken_to_last_as_long_as_published_runs() -> None:
    made = plan(a=host(run_style="valid"))
    expected = cell(made, "Offline/performance").expected
    assert expected is not None
    assert expected.source == "prior"
    assert expected.why == "7 published runs of resnet Offline took 617 to 689 s (published-v5.1)"
    # Not less than LoadGen's 600 s, whatever others took; a tenth and the loading more than their longest.
    assert (expected.low, expected.high) == (601.0, 788.9)


def test_a_published_duration_is_shortened_by_style_fast_and_no_claim_for_style_test() -> None:
    fast = cell(plan(a=host(run_style="fast")), "Offline/performance").expected
    assert fast is not None
    assert (fast.low, fast.high, fast.source) == (112.1, 788.9, "prior")  # a fifth of 0.9 x 617 s at least
    seconds = cell(plan(a=host()), "Offline/performance").expected
    assert seconds is not None
    assert seconds.source == "rule"


# --- shared things ---------------------------------------------------------------------------------------------------


def test_a_plan_without_shared_things_says_nothing_of_them() -> None:
    made = pretty_json(dump(plan(a=host(), b=host(system="b"))))
    assert '"holds"' not in made
    assert '"order"' not in made


def test_cells_that_share_a_meter_are_ordered_so_that_hosts_do_not_wait() -> None:
    shared: Json = {"meter1": ["performance"]}
    made = plan(**{name: host(run_style="valid", system=name, shared=shared) for name in "ab"})
    assert {one.holds for one in made.cells if one.cell.mode == "performance"} == {("meter1",)}
    assert {one.holds for one in made.cells if one.cell.mode == "accuracy"} == {()}
    orders = [host.order for host in made.hosts]
    own = {host.name: [one.cell.key for one in made.cells if one.host == host.name] for host in made.hosts}
    assert all(sorted(order or own[name]) == sorted(own[name]) for name, order in zip("ab", orders, strict=True))
    assert load(Plan, dump(made), "plan.json") == made


def test_the_owner_of_a_shared_thing_is_named_once_and_by_all_alike() -> None:
    shared: Json = {"meter1": {"modes": ["performance"], "owner": "services1"}, "nfs": ["accuracy"]}
    made = plan(a=host(shared=shared), b=host(system="b", shared=shared))
    assert [(one.thing, one.host) for one in made.owners] == [("meter1", "services1")]
    assert {one.holds for one in made.cells if one.cell.mode == "performance"} == {("meter1",)}
    assert load(Plan, dump(made), "plan.json") == made
    other = refused(a=host(shared=shared), b=host(system="b", shared={"meter1": ["performance"]}))
    assert "host b says that the controller keeps the lease of meter1, host a says services1" in other


def test_an_owner_that_is_no_host_of_the_inventory_is_named_with_the_nearest() -> None:
    hosts = {"a": host(shared={"meter1": {"modes": ["performance"], "owner": "service1"}})}
    known = {"all": ["a", "services1"]}
    with pytest.raises(
        ConfigError, match="unknown host of the inventory 'service1'; expected one of a, services1"
    ) as caught:
        make_plan(hosts, CATALOGUE, "inventory/lab", lambda _host, _path, _value: "", groups=known)
    assert "did you mean 'services1'?" in str(caught.value)
    assert "mlperf_shared.meter1.owner" in caught.value.message


@pytest.mark.parametrize(
    ("shared", "sentence"),
    [
        ({"meter1": {"modes": ["performance"], "ownr": "x"}}, "did you mean 'owner'?"),
        ({"meter1": ["perf"]}, "perf"),
        ({"meter1": []}, "meter1"),
        ({"a meter": ["performance"]}, "a meter"),
    ],
)
def test_a_slip_in_a_shared_thing_is_refused(shared: Json, sentence: str) -> None:
    assert sentence in refused(a=host(shared=shared))


def test_a_drop_in_catalogue_with_a_fixed_batch_is_respected(tmp_path: Path) -> None:
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    text = CATALOGUE.origins["benchmarks/efficientnet-lite0"].read_text()
    text = text.replace("name: efficientnet-lite0\n", "name: fixed\n", 1).replace(
        "[N, 3, 224, 224]", "[1, 3, 224, 224]"
    )
    (folder / "fixed.yaml").write_text(text)
    catalogue = read_catalogue((tmp_path,))
    made = plan(catalogue, a=host({"benchmark": "fixed"}))
    assert spec(made, "MultiStream/performance").backend.max_batch == 1
    with pytest.raises(ConfigError, match="max_batch is 4, but the model takes batches of 1 only"):
        plan(catalogue, a=host({"benchmark": "fixed", "backend": {"max_batch": 4}}))
    shutil.rmtree(folder)
