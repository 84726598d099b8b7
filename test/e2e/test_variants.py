"""Several targets in one artifact: the weights that variants share, as ternc and tern inspect report them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import HOME_ASSISTANT
from programs import succeed

TARGETS = ["x86_64-avx512vnni", "x86_64-avx2", "aarch64-dotprod"]


def compile_for(targets: list[str], artifact: Path) -> tuple[dict, str]:
    """ternc's report as JSON, and what it writes to the terminal."""
    result = succeed("ternc", HOME_ASSISTANT, "-o", artifact, "--target=" + ",".join(targets), "--json")
    return json.loads(result.text), result.err


def weights(variant: dict) -> tuple[int, int]:
    return variant["shared_weight_bytes"], variant["own_weight_bytes"]


@pytest.mark.parametrize("targets", [TARGETS[:2], TARGETS], ids=len)
def test_the_weights_that_variants_share_are_reported(targets: list[str], tmp_path: Path) -> None:
    artifact = tmp_path / "several.tern"
    compiled, terminal = compile_for(targets, artifact)
    report = json.loads(succeed("tern", "inspect", artifact, "--json").text)
    assert sorted(variant["target"] for variant in report["variants"]) == sorted(targets)
    by_target = {variant["target"]: weights(variant) for variant in report["variants"]}
    assert by_target == {variant["target"]: weights(variant) for variant in compiled["variants"]}

    # Layouts agree on these targets: a file for one alone is smaller by code and plans, not by weights.
    single = {}
    for target in targets:
        compile_for([target], tmp_path / "one.tern")
        single[target] = json.loads(succeed("tern", "inspect", tmp_path / "one.tern", "--json").text)
        total = sum(tensor["bytes"] for tensor in single[target]["tensors"])
        assert weights(single[target]["variants"][0]) == (0, total)
        assert sum(by_target[target]) == total
    own = sum(own for _, own in by_target.values())
    assert {shared for shared, _ in by_target.values()} == {sum(t["bytes"] for t in report["tensors"]) - own}
    assert own == 0 and report["weight_bytes"] == single[targets[0]]["weight_bytes"]

    text = succeed("tern", "inspect", artifact).text
    assert text.count("shared with other variants") == len(targets)
    for target in targets:
        assert (
            f"{target}: {by_target[target][0] / 1e6:.1f} MB of weights shared with other variants, 0.0 MB" in terminal
        )


def test_one_variant_says_nothing_of_sharing(tmp_path: Path) -> None:
    _, terminal = compile_for(["x86_64-avx2"], tmp_path / "one.tern")
    assert "shared" not in terminal
    assert "shared" not in succeed("tern", "inspect", tmp_path / "one.tern").text
