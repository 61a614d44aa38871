"""`mlperf-ops accuracy`: exit codes, output, and one sentence for everything that is wrong."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.cli import main
from tests.support import accuracy_logs as made


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(["accuracy", *map(str, words)])
    return subprocess.CompletedProcess(words, int(ended.value.code or 0), out.getvalue(), err.getvalue())


def resnet(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    inputs = made.images(folder, "int64")
    return run(
        "--benchmark", "resnet", "--round", "v6.1", "--log", inputs["log"], "--labels", inputs["labels"],
        "--parameter", "dtype=int64", *words,
    )  # fmt: skip


def text_file(folder: Path, text: str) -> Path:
    (folder / "accuracy.txt").write_text(text)
    return folder / "accuracy.txt"


def test_the_line_the_verdict_and_a_note_are_shown(tmp_path: Path) -> None:
    done = resnet(tmp_path, "--output", tmp_path / "accuracy.txt")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "accuracy=78.000%, good=156, total=200",
        "resnet: meets its targets",
        "  acc is 78; expected at least 75.6954",
    ]
    assert done.stderr == "note: 200 samples were scored; round v6.1 demands 50000 of resnet\n"
    assert (tmp_path / "accuracy.txt").read_text() == "accuracy=78.000%, good=156, total=200\n"


def test_a_missed_target_is_exit_code_1_and_says_by_how_much(tmp_path: Path) -> None:
    done = run("--benchmark", "resnet", "--round", "v6.1", "--text", text_file(tmp_path, "accuracy=75.0%\n"))
    assert done.returncode == 1
    assert "resnet: misses its targets\n  acc is 75; expected at least 75.6954, missed by 0.6954" in done.stdout


@pytest.mark.parametrize(("name", "code"), [("bert-99", 0), ("bert-99.9", 1), ("bert", 0)])
def test_each_variant_has_its_own_target(tmp_path: Path, name: str, code: int) -> None:
    text = text_file(tmp_path, '{"exact_match": 83.6, "f1": 90.5}\n')
    done = run("--benchmark", name, "--round", "v6.1", "--text", text)
    assert done.returncode == code
    assert "bert-99: meets its targets" in done.stdout
    assert "bert-99.9: misses its targets" in done.stdout
    assert done.stdout.count("(not asked for)") == (0 if name == "bert" else 1)


def test_an_upper_limit_is_a_target_too(tmp_path: Path) -> None:
    text = text_file(tmp_path, "Accuracy Results: {'FID_SCORE': '23.5', 'CLIP_SCORE': '31.9'}\n")
    done = run("--benchmark", "stable-diffusion-xl", "--round", "v6.1", "--text", text)
    assert done.returncode == 1
    assert "CLIP_SCORE is 31.9; expected at least 31.68631873 and at most 31.81331801, missed by 0.0866" in done.stdout


def test_a_metric_that_is_not_stated_is_missed(tmp_path: Path) -> None:
    text = text_file(tmp_path, "{'rouge1': 45.5, 'rouge2': 23.3, 'rougeL': 30.4, 'gsm8k': 73.6}\n")
    done = run("--benchmark", "mixtral-8x7b", "--round", "v6.0", "--text", text)
    assert done.returncode == 1
    assert "  mbxp_accuracy is not stated" in done.stdout


def test_a_share_is_compared_with_percent(tmp_path: Path) -> None:
    done = run("--benchmark", "rgat", "--round", "v6.1", "--text", text_file(tmp_path, "accuracy=72.0%\n"))
    assert done.returncode == 1
    assert "acc is 72; expected at least 72.1314, missed by 0.1314" in done.stdout
    assert "the official checker accepts anything from 0.73 % on" in done.stderr.replace("\n", " ")


@pytest.mark.parametrize(("entropy", "code"), [("0.8677", 0), ("0.8678", 1), ("0.8659", 1)])
def test_an_entropy_has_the_rules_bound_above_and_the_official_one_below(
    tmp_path: Path, entropy: str, code: int
) -> None:
    others = "metric/lifetime_accuracy/rating: 0.7\nmetric/lifetime_gauc/rating: 0.79\n"
    text = f"metric/lifetime_ne/rating: {entropy}\n{others}"
    done = run("--benchmark", "dlrm-v3", "--round", "v6.1", "--text", text_file(tmp_path, text))
    assert done.returncode == code, done.stdout
    assert "expected at least 0.86600313 and at most 0.86773687" in done.stdout


def test_everything_is_in_the_json(tmp_path: Path) -> None:
    done = resnet(tmp_path, "--json")
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["variants"] == [
        {
            "model": "resnet",
            "asked": True,
            "met": True,
            "missing": [],
            "metrics": [
                {"metric": "acc", "value": 78.0, "text": "78.000", "minimum": 75.6954, "maximum": None}
                | {"met": True, "misses_by": 0.0}
            ],
        }
    ]
    assert report["text"] == "accuracy=78.000%, good=156, total=200\n"
    assert report["sample_count"] == 200
    assert report["parameters"] == {"dtype": "int64"}
    assert len(report["log_sha256"]) == 64
    assert report["official"] is None


def test_the_remedy_for_a_log_of_another_type_is_the_option_itself(tmp_path: Path) -> None:
    inputs = made.images(tmp_path, "int64")
    words: list[str | Path] = ["--benchmark", "resnet", "--round", "v6.1", "--log", inputs["log"]]
    words += ["--labels", inputs["labels"]]
    done = run(*words)
    assert done.returncode == 3
    assert "data holds 8 bytes; expected 4 (float32 class index)" in done.stderr
    option = re.search(r"add (--parameter dtype=\w+) for class \d+ to mlperf-ops accuracy", done.stderr)
    assert option is not None
    assert run(*words, *option[1].split()).stdout == resnet(tmp_path).stdout


def test_a_benchmark_of_the_catalogue_and_an_alias_are_known(tmp_path: Path) -> None:
    text = text_file(tmp_path, "accuracy=76.0%\n")
    for name in ("resnet50", "efficientnet-lite0", "resnet"):
        assert run("--benchmark", name, "--round", "v6.1", "--text", text).returncode == 0, name


def test_an_output_that_says_something_else_is_kept(tmp_path: Path) -> None:
    text = text_file(tmp_path, "accuracy=11.0%\n")
    done = resnet(tmp_path, "--output", text)
    assert done.returncode == 2
    assert "exists and says something else; it is not overwritten" in done.stderr
    assert "accuracy=78.000%" in done.stdout  # what was computed is not lost
    assert text.read_text() == "accuracy=11.0%\n"


def test_a_part_is_scored_when_it_is_asked_for(tmp_path: Path) -> None:
    made.write_log(tmp_path / "log.json", [(3, (5).to_bytes(8, "little"))])
    (tmp_path / "val_map.txt").write_text("".join(f"{i}.JPEG 5\n" for i in range(9)))
    words: list[str | Path] = ["--benchmark", "resnet", "--round", "v6.1", "--log", tmp_path / "log.json"]
    words += ["--labels", tmp_path / "val_map.txt", "--parameter", "dtype=int64"]
    assert run(*words).returncode == 3
    done = run(*words, "--partial")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "accuracy=100.000%, good=1, total=1")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--benchmark", "resnett", "--text", "x"], 2, "unknown benchmark of round v6.1 'resnett'"),
        (["--benchmark", "retinanet", "--text", "x"], 2, "has no benchmark 'retinanet': it was in v2.1 to v6.0"),
        (["--benchmark", "resnet"], 2, "give either --log or --text"),
        (["--benchmark", "resnet", "--log", "l", "--text", "x"], 2, "give either --log or --text"),
        (["--benchmark", "resnet", "--text", "no-such-file"], 3, "cannot read no-such-file: No such file"),
        (["--benchmark", "resnet", "--log", "l"], 2, "--labels is missing (imagenet-top1 needs val_map.txt"),
        (["--benchmark", "resnet", "--log", "l", "--labels", "nowhere"], 2, "--labels: there is no nowhere"),
        (["--benchmark", "resnet", "--log", "l", "--vocab", "v"], 2, "--vocab is no input of imagenet-top1"),
        (["--benchmark", "bert-99", "--log", "l", "--labels", "."], 2, "--vocab is missing (squad-f1 needs vocab.txt"),
        (["--benchmark", "resnet", "--text", "x", "--scenario", "Ofline"], 2, "did you mean 'Offline'?"),
        (["--benchmark", "rgat", "--text", "x", "--scenario", "Server"], 2, "unknown scenario of rgat in round v6.1"),
        (["--benchmark", "resnet", "--log", "l", "--labels", ".", "--parameter", "x"], 2, "expected NAME=VALUE"),
        (
            ["--benchmark", "resnet", "--log", "l", "--labels", ".", "--parameter", "dtyp=int8"],
            2,
            "unknown parameter 'dtyp'",
        ),
        (["--benchmark", "resnet", "--log", "l", "--labels", "."], 2, "cannot read the label file .: Is a directory"),
        (["--benchmark", "resnet", "--text", "x", "--official-checkout", "."], 2, "--official-checkout needs --log"),
        (["--benchmark", "stable-diffusion-xl", "--log", "l"], 2, "text_to_image/tools/accuracy_coco.py only"),
    ],
)
def test_wrong_input_is_one_sentence(words: list[str], code: int, told: str) -> None:
    done = run("--round", "v6.1", *words)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["wan-2.2-t2v-a14b", "qwen3-vl-235b-a22b", "deepseek-r1", "e2e-rag-db", "qwen3.6-27b"])
def test_what_is_not_computed_here_says_which_script_does(tmp_path: Path, name: str) -> None:
    done = run("--round", "v6.1", "--benchmark", name, "--log", tmp_path)
    assert done.returncode == 2
    assert "is computed by the official script" in done.stderr
    assert "--text accuracy.txt judge what it wrote" in done.stderr


# --- the official script beside ours ------------------------------------------------------------------


def checkout(folder: Path, code: str) -> Path:
    script = folder / "checkout" / "vision" / "classification_and_detection" / "tools" / "accuracy-imagenet.py"
    script.parent.mkdir(parents=True)
    script.write_text(code)
    return folder / "checkout"


def with_script(folder: Path, code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return resnet(
        folder, "--official-checkout", checkout(folder, code), "--official-python", sys.executable, *words
    )  # fmt: skip


def test_an_official_script_that_agrees_is_said_to(tmp_path: Path) -> None:
    done = with_script(tmp_path, "print('accuracy=78.000%, good=156, total=200')")
    assert done.returncode == 0
    assert "accuracy-imagenet.py says the same, to the last digit" in done.stdout


def test_an_official_script_gets_the_log_the_labels_and_the_parameters(tmp_path: Path) -> None:
    code = "import sys; open(sys.argv[2]), open(sys.argv[4]); print(f'accuracy=78.000%, {sys.argv[5:]}')"
    done = with_script(tmp_path, code, "--json")
    official = json.loads(done.stdout)["official"]
    assert official["text"] == "accuracy=78.000%, ['--dtype', 'int64']\n"
    assert official["differences"] == []


def test_a_difference_in_the_last_digit_is_a_verdict(tmp_path: Path) -> None:
    done = with_script(tmp_path, "print('accuracy=78.001%, good=156, total=200')")
    assert done.returncode == 1
    assert "says acc is 78.001, we say 78.000" in done.stdout


def test_an_official_script_that_fails_loses_nothing(tmp_path: Path) -> None:
    done = with_script(tmp_path, "import no_such_package", "--json", "--output", str(tmp_path / "accuracy.txt"))
    assert done.returncode == 5
    assert json.loads(done.stdout)["text"] == "accuracy=78.000%, good=156, total=200\n"
    assert "No module named 'no_such_package'" in done.stderr
    assert "--official-python names the Python that has them" in done.stderr
    assert (tmp_path / "accuracy.txt").is_file()


def test_a_python_that_is_missing_is_told_before_anything_is_computed(tmp_path: Path) -> None:
    done = resnet(tmp_path, "--official-checkout", checkout(tmp_path, ""), "--official-python", "/no/such/python")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--official-python: there is no Python at /no/such/python" in done.stderr


def test_a_folder_that_is_no_checkout_is_told(tmp_path: Path) -> None:
    done = resnet(tmp_path, "--official-checkout", tmp_path)
    assert done.returncode == 2
    assert "has no vision/classification_and_detection/tools/accuracy-imagenet.py" in done.stderr
