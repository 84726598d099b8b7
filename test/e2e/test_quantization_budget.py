"""--quantize=budget:SIZE and bits:B: the size holds, the error falls with it, and beats one encoding for all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import BuildModel
from models import BuiltModel, ModelSpec, gguf_tensors
from programs import assert_input_error, assert_usage_error, run, succeed, tern_logits
from references import random_tokens, torch_logits
from test_quantize import input_squares, write_gguf_imatrix

# Rows of the feed-forward part's second half suit groups of 32 alone.
UNEVEN = ModelSpec(
    "uneven-widths", hidden=256, feed_forward=480, heads=8, kv_heads=4, head_size=32, vocabulary=512, gain_spread=1.0
)
ELEMENTS = 2 * 512 * 256 + 2 * (256 * (256 + 128 + 128 + 256) + 3 * 480 * 256)


def compile_report(model: Path, artifact: Path, policy: str, *options: object) -> dict[str, Any]:
    result = succeed("ternc", model, "-o", artifact, "--json", f"--quantize={policy}", *options)
    return json.loads(result.text)


def weight_bytes(artifact: Path) -> int:
    return json.loads(succeed("tern", "inspect", artifact, "--json").text)["weight_bytes"]


def squared_errors(report: dict[str, Any]) -> float:
    """What the packer found, over whole weights."""
    return sum(weight["relative_error"] ** 2 for weight in report["weights"])


@pytest.fixture(scope="module")
def model(build_model: BuildModel) -> BuiltModel:
    return build_model(UNEVEN)


@pytest.fixture(scope="module")
def by_size(model: BuiltModel, tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Path, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("budgets")
    sizes = [500_000, 600_000, 700_001, 900_000, 1_200_000, 3_000_000, 10_000_000]
    return {
        size: (folder / f"{size}.tern", compile_report(model.path, folder / f"{size}.tern", f"budget:{size}"))
        for size in sizes
    }


def test_the_size_holds(by_size: dict[int, tuple[Path, dict[str, Any]]]) -> None:
    for size, (artifact, report) in by_size.items():
        assert report["budget"]["limit_bytes"] == size
        assert weight_bytes(artifact) <= report["budget"]["bytes"] <= size
        if size < 3_000_000:
            assert weight_bytes(artifact) > 0.85 * size


def test_a_larger_budget_has_a_smaller_error(by_size: dict[int, tuple[Path, dict[str, Any]]]) -> None:
    errors = [report["budget"]["error"] for _, report in by_size.values()]
    assert errors == sorted(errors, reverse=True) and errors[0] > 1 and errors[-1] == 0
    for _, report in by_size.values():
        assert squared_errors(report) == pytest.approx(report["budget"]["error"], rel=1e-3, abs=1e-9)


def test_the_report_names_the_choice_for_each_weight(by_size: dict[int, tuple[Path, dict[str, Any]]]) -> None:
    _, report = by_size[900_000]
    encodings = {weight["name"]: weight for weight in report["weights"]}
    assert len({weight["policy"] for weight in report["budget"]["weights"]}) > 1
    for weight in report["budget"]["weights"]:
        packed = encodings.pop(weight["name"])
        assert packed["bits_per_weight"] == weight["bits_per_weight"]
        assert packed["relative_error"] == pytest.approx(weight["measured_error"], rel=1e-3, abs=1e-9)
    assert not encodings


def test_rows_that_no_group_divides_get_what_suits_them(by_size: dict[int, tuple[Path, dict[str, Any]]]) -> None:
    for _, report in by_size.values():
        for weight in report["budget"]["weights"]:
            if "ffn_down" in weight["name"]:
                assert weight["policy"] in ("int4", "int4:g32:min", "int8", "f16", "keep")


def test_the_logits_come_nearer_with_the_size(
    model: BuiltModel, by_size: dict[int, tuple[Path, dict[str, Any]]], tmp_path: Path
) -> None:
    tokens = random_tokens(40, UNEVEN.vocabulary)
    expected = torch_logits(model, tokens)
    errors = [np.linalg.norm(tern_logits(artifact, tokens, tmp_path) - expected) for artifact, _ in by_size.values()]
    assert errors[0] > errors[2] > errors[4] > errors[5] and errors[-1] < 5e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize(("policy", "bits"), [("int4", 4.5), ("int8", 8.5), ("int4:g32:min", 5.0)])
def test_it_is_better_than_one_encoding_of_that_size(
    policy: str, bits: float, model: BuiltModel, tmp_path: Path
) -> None:
    uniform = compile_report(model.path, tmp_path / "uniform.tern", policy)
    mixed = compile_report(model.path, tmp_path / "mixed.tern", f"bits:{bits}")
    assert mixed["budget"]["bits_per_weight"] <= bits
    stored = sum(weight["bits_per_weight"] * weight["elements"] for weight in mixed["weights"])
    assert stored <= bits * ELEMENTS
    assert squared_errors(mixed) <= squared_errors(uniform) * (1 + 1e-6)
    if policy != "int8":
        assert squared_errors(mixed) < 0.98 * squared_errors(uniform)
    in_bytes = compile_report(model.path, tmp_path / "bytes.tern", f"budget:{weight_bytes(tmp_path / 'uniform.tern')}")
    assert squared_errors(in_bytes) <= squared_errors(uniform) * (1 + 1e-6)


def test_patterns_stay_and_the_budget_covers_the_rest(model: BuiltModel, tmp_path: Path) -> None:
    artifact = tmp_path / "m.tern"
    report = compile_report(model.path, artifact, "output.weight=f32,*.attn_v.weight=int8,budget:1.2M")
    encodings = {weight["name"]: weight["encoding"] for weight in report["weights"]}
    assert encodings["output.weight"] == "f32"
    assert {encodings[f"blk.{i}.attn_v.weight"] for i in range(2)} == {"int8:g32:f16"}
    assert not {"output.weight", "blk.0.attn_v.weight"} & {weight["name"] for weight in report["budget"]["weights"]}
    assert 1_000_000 < weight_bytes(artifact) <= 1_200_000
    assert_input_error(
        run("ternc", model.path, "-o", artifact, "--quantize=absent*=int8,budget:1.2M"), "absent*", "decides no weight"
    )
    assert_input_error(run("ternc", model.path, "-o", artifact, "--quantize=*=int8,bits:4"), "leave nothing")


def test_several_layouts_and_workers_give_the_same_choice(model: BuiltModel, tmp_path: Path) -> None:
    options = {"one": ["-j1"], "two": ["-j2"]}
    for name, extra in options.items():
        compile_report(model.path, tmp_path / f"{name}.tern", "budget:800K", *extra)
    assert (tmp_path / "one.tern").read_bytes() == (tmp_path / "two.tern").read_bytes()
    both = compile_report(model.path, tmp_path / "b.tern", "budget:800K", "--target=x86_64-avx2,aarch64-dotprod")
    assert weight_bytes(tmp_path / "b.tern") <= both["budget"]["bytes"] <= 800_000


def test_an_importance_matrix_weighs_the_choice(build_model: BuildModel, tmp_path: Path) -> None:
    model = build_model(replace(UNEVEN, name="uneven-channels", embedding_scale=24, gain_spread=1.5))
    tokens = random_tokens(64, model.spec.vocabulary)
    write_gguf_imatrix(tmp_path / "i.gguf", input_squares(model, tokens), rows=64)
    plain = compile_report(model.path, tmp_path / "plain.tern", "bits:4")
    weighed = compile_report(model.path, tmp_path / "weighed.tern", "bits:4", f"--imatrix={tmp_path / 'i.gguf'}")
    choices = [{w["name"]: w["policy"] for w in report["budget"]["weights"]} for report in (plain, weighed)]
    assert choices[0] != choices[1]
    expected = torch_logits(model, tokens)
    without = np.linalg.norm(tern_logits(tmp_path / "plain.tern", tokens, tmp_path) - expected)
    with_it = np.linalg.norm(tern_logits(tmp_path / "weighed.tern", tokens, tmp_path) - expected)
    assert with_it < without, f"error of the logits: {with_it:.4f} with, {without:.4f} without"
    write_gguf_imatrix(tmp_path / "i.gguf", {"other.weight": np.ones(256, np.float32)})
    refused = run(
        "ternc", model.path, "-o", tmp_path / "m.tern", "--quantize=bits:4", f"--imatrix={tmp_path / 'i.gguf'}"
    )
    assert_input_error(refused, "weighs nothing")


def test_an_unreachable_budget_says_what_is_reachable(model: BuiltModel, tmp_path: Path) -> None:
    output = tmp_path / "m.tern"
    result = run("ternc", model.path, "-o", output, "--quantize=budget:300K")
    assert_input_error(result, "300000 bytes is out of reach")
    least = int(result.err.split("the smallest encodings take ")[1].split()[0])
    compile_report(model.path, output, f"budget:{least}")
    assert weight_bytes(output) <= least
    assert_input_error(run("ternc", model.path, "-o", output, f"--quantize=budget:{least - 1}"), str(least))
    result = run("ternc", model.path, "-o", output, "--quantize=bits:1.5")
    assert_input_error(result, "1.5 bits per weight is out of reach")
    compile_report(model.path, output, f"bits:{result.err.split()[-1]}")


@pytest.mark.parametrize(
    "policy",
    ["budget:", "budget:x", "budget:-5M", "budget:0", "budget:1.5T", "budget:inf", "budget:1e30", "budget:5MB", "bits:",
     "bits:0", "bits:-1", "bits:33", "bits:nan", "bits:4b", "bits:4,int4", "*.weight=bits:4", "output.weight=budget:5M"],
)  # fmt: skip
def test_malformed_budgets_are_wrong_usage(policy: str, tmp_path: Path) -> None:
    assert_usage_error(run("ternc", "m.gguf", "-o", tmp_path / "m.tern", f"--quantize={policy}"), policy.split(",")[0])


def test_a_module_in_text_form_has_no_values_to_measure(model: BuiltModel, tmp_path: Path) -> None:
    module = tmp_path / "m.mlir"
    succeed("ternc", model.path, "--emit=tern-ir", "-o", module)
    result = run("ternc", module, "--emit=quantized-ir", "--quantize=bits:4")
    assert_input_error(result, "needs the values")
    text = succeed("ternc", model.path, "--emit=quantized-ir", "--quantize=bits:4").text
    assert "#tern.enc<int4" in text


def test_experts_with_importances_of_their_own(build_model: BuildModel, tmp_path: Path) -> None:
    """Each expert's columns weigh its own rows."""
    model = build_model(ModelSpec("experts-of-a-budget", family="mixtral", hidden=96, feed_forward=128))
    weights = {name: values for _, _, name, values, *_ in gguf_tensors(model.spec, model.torch_model)}
    means = {name: np.ones(values.shape[::2], np.float32) for name, values in weights.items() if "_exps" in name}
    write_gguf_imatrix(tmp_path / "i.gguf", {name: values.reshape(-1) for name, values in means.items()})
    artifact = tmp_path / "m.tern"
    report = compile_report(model.path, artifact, "bits:4.5", f"--imatrix={tmp_path / 'i.gguf'}")
    assert report["budget"]["bits_per_weight"] <= 4.5
    assert means.keys() <= {weight["name"] for weight in report["budget"]["weights"]}
    assert squared_errors(report) == pytest.approx(report["budget"]["error"], rel=1e-3)
