"""Compare the harness with a bare loop and with its forerunners: `python -m benchmarks.harness --help`.

Contenders take turns within one run (pairs), so that what else the machine does hits all alike; the medians of the
ratios are reported, not the best of anything.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.harness.contenders import Figures, Setting, bare_loop, generic_app, harness, in_own_process, reference
from benchmarks.harness.models import Workload, generated, given

_SERVER_FRACTIONS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)


def _offline(workload: Workload, setting: Setting, arguments: argparse.Namespace) -> dict[str, object]:
    rates: dict[str, list[float]] = {"bare": [], "harness": []}
    if arguments.reference:
        rates["reference"] = []
    if arguments.automations and setting.max_batch == 1:
        rates["generic_app"] = []
    for _ in range(arguments.pairs):
        rates["bare"].append(in_own_process(bare_loop, workload, setting).samples_per_second)
        rates["harness"].append(harness(workload, setting)[0].samples_per_second)
        if "reference" in rates:
            rates["reference"].append(
                reference(workload, setting, arguments.reference, arguments.reference_python).samples_per_second
            )
        if "generic_app" in rates:
            rates["generic_app"].append(
                generic_app(workload, setting, arguments.automations, arguments.automations_python).samples_per_second
            )
    return {
        "samples_per_second": {name: round(statistics.median(values), 1) for name, values in rates.items()},
        "harness_ratio_to": {
            name: round(statistics.median(h / v for h, v in zip(rates["harness"], values, strict=True)), 4)
            for name, values in rates.items()
            if name != "harness"
        },
    }


def _single_stream(workload: Workload, setting: Setting, arguments: argparse.Namespace) -> dict[str, object]:
    pairs: list[tuple[Figures, Figures]] = [
        (in_own_process(bare_loop, workload, setting), harness(workload, setting)[0]) for _ in range(arguments.pairs)
    ]
    bare = [(b.p50_ns or 0.0, b.p999_ns or 0.0) for b, _ in pairs]
    ours = [(h.p50_ns or 0.0, h.p999_ns or 0.0) for _, h in pairs]
    return {
        "p50_us": {
            "bare": round(statistics.median(p for p, _ in bare) / 1e3, 2),
            "harness": round(statistics.median(p for p, _ in ours) / 1e3, 2),
        },
        "p50_overhead_us": round(
            statistics.median((h[0] - b[0]) / 1e3 for b, h in zip(bare, ours, strict=True)), 2
        ),
        "p999_us": {
            "bare": round(statistics.median(p for _, p in bare) / 1e3, 1),
            "harness": round(statistics.median(p for _, p in ours) / 1e3, 1),
        },
    }  # fmt: skip


def _server(workload: Workload, setting: Setting, arguments: argparse.Namespace) -> dict[str, object]:
    offline_setting = Setting("Offline", setting.samples, setting.streams, setting.intra_op_threads, setting.max_batch)
    ratios, rates = [], []
    for _ in range(arguments.pairs):
        offline = harness(workload, offline_setting)[0].samples_per_second
        for fraction in _SERVER_FRACTIONS:
            _, log = harness(workload, setting, server_qps=offline * fraction)
            if log["validity"] == "VALID":
                ratios.append(fraction)
                rates.append(offline * fraction)
                break
        else:
            ratios.append(0.0)
    return {
        "highest_valid_qps": round(statistics.median(rates), 1) if rates else None,
        "ratio_to_offline": statistics.median(ratios),
        "tried_fractions": list(_SERVER_FRACTIONS),
    }


_SCENARIOS = {"Offline": _offline, "SingleStream": _single_stream, "Server": _server}


def main() -> int:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.harness", description=__doc__)
    parser.add_argument("--model", type=Path, help="an ONNX classifier [N,3,S,S] -> [N,classes]; default: a small one")
    parser.add_argument("--image-size-px", type=int, default=224)
    parser.add_argument("--hidden", type=int, default=40, help="size of the generated model; 40 is about 20 µs")
    parser.add_argument("--scenario", choices=sorted(_SCENARIOS), default="Offline")
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--intra-op-threads", type=int, default=1)
    parser.add_argument("--max-batch", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument(
        "--reference", type=Path, help="checkout of mlcommons/inference (needs opencv-python-headless, pycocotools)"
    )
    parser.add_argument(
        "--automations", type=Path, help="checkout of mlcommons/mlperf-automations (needs psutil, numpy<2)"
    )
    parser.add_argument("--reference-python", default=sys.executable, help="interpreter that has what it needs")
    parser.add_argument("--automations-python", default=sys.executable, help="interpreter that has what it needs")
    arguments = parser.parse_args()
    setting = Setting(
        arguments.scenario, arguments.samples, arguments.streams, arguments.intra_op_threads, arguments.max_batch
    )
    with tempfile.TemporaryDirectory() as folder:
        workload = (
            given(arguments.model.resolve(), Path(folder), arguments.image_size_px)
            if arguments.model
            else generated(Path(folder), hidden=arguments.hidden)
        )
        measured = _SCENARIOS[arguments.scenario](workload, setting, arguments)
    load_1min = round(os.getloadavg()[0], 2)
    print(
        json.dumps(
            {
                "workload": workload.name,
                "scenario": setting.scenario,
                "samples": setting.samples,
                "streams": setting.streams,
                "intra_op_threads": setting.intra_op_threads,
                "max_batch": setting.max_batch,
                "pairs": arguments.pairs,
                "load_1min": load_1min,
                **measured,
            },
            indent=2,
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
