"""A model over several devices: copies that share the batches, or devices that share a copy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from extract import ExtractConfig, run
from extract.decoder.forward import Tap
from extract.decoder.load import copy_decoder
from extract.decoder.placement import Placement
from extract.inputs import Inputs, gather
from extract.spread import Spread, Work, check_degree, choose_degree
from extract.store.errors import FingerprintMismatchError
from spectra.errors import UsageError
from tests.decoder_cases import CASES, token_ids
from tests.decoder_models import forward, load, place, spec_for, tensors
from tests.extract_cases import config_of, one_device, short_traces, using, write_model
from tests.extract_run import files

ROOT = Path(__file__).parents[1]
TRACES = [trace for trace in short_traces(300) if len(trace.response) < 66]
"""Of one shape: each device compiles its programs."""


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with one_device():
        yield


def write_small(directory: Path, **options: Any) -> ExtractConfig:
    """A model that compiles fast and some twenty batches for it."""
    write_model(directory / "model", case="llama-v4", num_hidden_layers=2)
    return config_of(directory, TRACES, max_tokens_per_batch=64, **options)


# ---- the rule ---------------------------------------------------------------------------------


class Device:
    """An accelerator of this size, or one that does not tell it."""

    platform = "gpu"

    def __init__(self, size: int | None) -> None:
        self._size = size

    def memory_stats(self) -> dict[str, int] | None:
        return None if self._size is None else {"bytes_limit": self._size, "bytes_in_use": 10**6}


def devices(*sizes: int | None) -> Any:
    return [Device(size) for size in sizes]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    with using(devices=1):
        return gather(write_small(tmp_path_factory.mktemp("spread"))).work


def on_one(work: Work, degree: int) -> int:
    return work.weights_on_one(degree) + work.activations_on_one(degree, 1) + work.waiting


def test_a_copy_is_on_the_fewest_devices_that_hold_it(work: Work) -> None:
    whole, halves = on_one(work, 1), on_one(work, 2)
    assert halves < whole
    assert choose_degree(0, devices(*[whole] * 8), work, 0) == 1
    assert choose_degree(0, devices(*[whole] * 7, whole - 1), work, 0) == 2
    assert choose_degree(0, devices(*[halves] * 8), work, 0) == 2
    # Nothing holds it: all are tried, and `check_memory` refuses.
    assert choose_degree(0, devices(*[work.waiting] * 8), work, 0) == 8


def test_devices_by_which_no_axis_is_cut_hold_it_whole(work: Work) -> None:
    assert work.weights_on_one(5) == work.weights_on_one(1)
    halves = on_one(work, 4)
    assert on_one(work, 5) == on_one(work, 1) > on_one(work, 2) > halves
    assert choose_degree(0, devices(*[halves] * 8), work, 0) == 4


def test_what_says_how_much_there_is(work: Work) -> None:
    whole = on_one(work, 1)
    cpus = jax.devices("cpu")
    assert choose_degree(0, devices(None, None), work, 0) == 1
    assert choose_degree(0, devices(whole, None), work, 0) == 1
    assert choose_degree(0, cpus, work, 0) == 1
    assert choose_degree(0, cpus, work, 2 * whole) == 1
    assert choose_degree(0, cpus, work, 2 * whole - 1) == 2
    assert choose_degree(4, devices(*[whole] * 8), work, 0) == 4


def test_more_devices_than_there_are() -> None:
    check_degree(2, devices(1, 1))
    with pytest.raises(UsageError, match=r"tensor_parallel is 3, and the devices here are 2\."):
        check_degree(3, devices(1, 1))


def test_groups() -> None:
    eight = devices(*range(8))
    spread = Spread.of(eight, 3)
    assert [list(group) for group in spread.groups] == [eight[:3], eight[3:6]]
    assert (spread.degree, spread.copies, spread.streams) == (3, 2, 1)
    assert spread.devices == tuple(eight[:6])


@pytest.mark.parametrize("name", ["llama-v4", "qwen3-v4", "olmo3-v4"])
def test_counted_weights_are_those_on_a_device(work: Work, name: str) -> None:
    """But for norms and biases, which are small."""
    spec = spec_for(CASES[name])
    for degree in (1, 2):
        decoder = load(spec, tensors(CASES[name]), devices=degree)
        held = [
            variable[...].addressable_shards[0].data.size
            for path, variable in nnx.to_flat_state(nnx.state(decoder))
            if variable[...].ndim == 2
        ]
        counted = replace(work, spec=spec, top=spec.num_layers, item=1).weights_on_one(degree)
        assert counted == sum(held)


# ---- copies -----------------------------------------------------------------------------------


def test_a_copy_of_a_decoder_computes_the_same() -> None:
    config = CASES["qwen3-v4"]
    spec, ids = spec_for(config), token_ids("qwen3-v4")
    decoder = load(spec, tensors(config))
    there = Placement(jax.devices()[1:2])
    copy = copy_decoder(decoder, there)
    for variable in jax.tree.leaves(nnx.state(copy)):
        assert variable.devices() == {jax.devices()[1]}
    taps = [Tap(spec.num_layers, final_norm=True)]
    here = forward(decoder, spec, taps=taps)
    other = type(here)(
        copy,
        spec,
        taps=taps,
        attend=here._attend,
        placement=there,
        storage=jnp.float32,
    )
    expected, found = here(ids)[spec.num_layers], other(ids)[spec.num_layers]
    assert found.devices() == {jax.devices()[1]}
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_a_copy_is_cut_as_the_first_is() -> None:
    decoder = load(spec_for(CASES["llama-v4"]), tensors(CASES["llama-v4"]), devices=2)
    turned = Placement(jax.devices()[1::-1])
    for first, second in zip(
        jax.tree.leaves(nnx.state(decoder)),
        jax.tree.leaves(nnx.state(copy_decoder(decoder, turned))),
        strict=True,
    ):
        assert second.sharding.spec == first.sharding.spec
        assert [s.data.shape for s in second.addressable_shards] == [
            s.data.shape for s in first.addressable_shards
        ]
        np.testing.assert_array_equal(np.asarray(second), np.asarray(first))
    assert place(2).devices == turned.devices[::-1]


# ---- whole runs -------------------------------------------------------------------------------


# A process with eight devices, for it costs more to begin than to extract.
EIGHT = """
import json, sys
from tests.cli_runs import call
from tests.extract_cases import using
for count, *command in json.loads(sys.argv[1]):
    with using(count):
        result = call(*command)
        assert result.exit_code == 0, result.output
"""


def on_devices(config: ExtractConfig, *runs: tuple[int, Path, Sequence[str]]) -> None:
    """Extract, by the command, on so many devices to a directory with further options, in turn."""
    args = ["extract", str(config.traces), "--model", config.model, "--backend", "cpu", "-q"]
    args += ["--max-tokens-per-batch", "64"]
    commands = [[count, *args, "--out", str(out), *options] for count, out, options in runs]
    flags = os.environ.get("XLA_FLAGS", "")
    subprocess.run(
        [sys.executable, "-c", EIGHT, json.dumps(commands)],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count=8",
        },
        check=True,
        timeout=300,
    )


def shards(out: Path) -> dict[str, bytes]:
    return {name: data for name, data in files(out).items() if "shard" in name}


def test_shards_are_the_same_on_any_number_of_devices(tmp_path: Path) -> None:
    """Of one each, or of copies that two share: four of five devices."""
    config = write_small(tmp_path)
    expected = shards(run(replace(config, out=tmp_path / "alone")).path)
    assert expected
    outs = {count: tmp_path / f"on{count}" for count in (3, 8)}
    shared = [tmp_path / f"shared{count}" for count in (2, 5)]
    on_devices(
        config,
        *((count, out, []) for count, out in outs.items()),
        (5, shared[1], ["--tensor-parallel", "2"]),
    )
    for count, out in outs.items():
        assert shards(out) == expected, count
        (log,) = out.glob("*.log")
        assert f"copies of the model: {count}, each on 1 devices" in log.read_text()
    with using(devices=2):
        run(replace(config, out=shared[0], tensor_parallel=2))
    assert shards(shared[1]) == shards(shared[0])
    assert shards(shared[0]).keys() == expected.keys()
    (log,) = shared[1].glob("*.log")
    assert "copies of the model: 2, each on 2 devices" in log.read_text()


def stop(stage: str, done: int, total: int) -> None:
    if stage == "computing" and done > total / 2:
        raise InterruptedError


@pytest.mark.parametrize("counts", [(2, 1), (1, 2)])
def test_a_run_goes_on_with_another_number_of_devices(
    tmp_path: Path, counts: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("extract.store.opening.JOURNAL_INTERVAL", 0.0)
    config = write_small(tmp_path)
    with using(devices=counts[0]), pytest.raises(InterruptedError):
        run(config, progress=stop)
    with using(devices=2), pytest.raises(FingerprintMismatchError, match="tensor_parallel was 1"):
        run(replace(config, tensor_parallel=2))
    with using(devices=counts[1]):
        rest = run(config)
    whole = run(replace(config, out=tmp_path / "good"))
    assert 0 < rest.computed_tokens < whole.computed_tokens
    assert files(config.out) == files(whole.path)


def test_inputs_tell_how_the_model_is_spread(tmp_path: Path) -> None:
    config = write_small(tmp_path)
    with using(devices=2):
        shared: Inputs = gather(replace(config, tensor_parallel=2))
        assert (shared.spread.copies, shared.spread.degree) == (1, 2)
        assert gather(config).spread.copies == 2
