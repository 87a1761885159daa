"""The decoder against transformers, live: cases and random configs, through real directories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from extract.decoder.families import spec_of
from extract.decoder.forward import Tap
from extract.decoder.rope import tables
from extract.weights import Checkpoint, open_checkpoint
from spectra.strict_json import JSON
from tests.decoder_cases import CASES, LENGTHS, token_ids, weights
from tests.decoder_models import Config, Floats, Model, differences, forward, load

torch = pytest.importorskip("torch", reason="torch and transformers are not installed")
transformers = pytest.importorskip(
    "transformers", reason="torch and transformers are not installed"
)

TOLERANCE = 2e-5
"""As in test_decoder_golden.py; measured 1.2e-5 over the random configs."""


def build(config: Config, path: Path, *, dtype: str = "float32", causal: bool = True) -> Any:
    """transformers' model of a config.json that is put into `path`, with the tests' weights."""
    write(config, path)
    parsed = transformers.AutoConfig.from_pretrained(path)
    made = transformers.AutoModelForCausalLM if causal else transformers.AutoModel
    model = made.from_config(parsed, attn_implementation="eager").eval()
    bare = model.model if causal else model
    shapes = {name: tuple(value.shape) for name, value in bare.state_dict().items()}
    values = {name: torch.tensor(value) for name, value in weights(shapes).items()}
    bare.load_state_dict(values, strict=True)
    return model.to(getattr(torch, dtype))


def write(config: Config, path: Path) -> None:
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")


def expected(model: Any, ids: NDArray[np.int32]) -> dict[str, Floats]:
    """transformers' states by layer; its last entry is the one after the final norm."""
    raw: list[Any] = []
    bare = getattr(model, "model", model)
    handle = bare.norm.register_forward_pre_hook(lambda module, inputs: raw.append(inputs[0]))
    with torch.no_grad():
        kept = bare(torch.tensor(ids), output_hidden_states=True).hidden_states
    handle.remove()
    states = {str(layer): x.float().numpy() for layer, x in enumerate((*kept[:-1], raw[0]))}
    return states | {"norm": kept[-1].float().numpy()}


def opened(path: Path) -> tuple[Checkpoint, Model]:
    checkpoint = open_checkpoint(str(path))
    spec = spec_of(checkpoint.config, checkpoint.config_where)
    return checkpoint, Model(spec, checkpoint.tensors)


def worst(found: Model, model: Any, ids: NDArray[np.int32]) -> float:
    return max(differences(found.states(ids), expected(model, ids)))


@pytest.mark.parametrize("case", CASES)
def test_every_case(case: str, tmp_path: Path) -> None:
    model = build(CASES[case], tmp_path)
    model.save_pretrained(tmp_path)
    checkpoint, found = opened(tmp_path)
    # The same model by the file that transformers 5 writes and by the one of the case.
    assert "rope_parameters" in checkpoint.config
    assert spec_of(checkpoint.config, "saved") == spec_of(dict(CASES[case]), "given")
    for length in LENGTHS:
        assert worst(found, model, token_ids(case, length)) <= TOLERANCE


@pytest.mark.parametrize("case", ["llama-v4-llama3", "qwen2-v4-sliding", "olmo3-v4"])
def test_directory_of_transformers_4(case: str, tmp_path: Path) -> None:
    model = build(CASES[case], tmp_path)
    model.save_pretrained(tmp_path)
    write(CASES[case], tmp_path)
    checkpoint, found = opened(tmp_path)
    assert "rope_parameters" not in checkpoint.config
    assert worst(found, model, token_ids(case)) <= TOLERANCE


@pytest.mark.parametrize("case", ["qwen3-v5-tied", "olmo3-v5"])
def test_shards(case: str, tmp_path: Path) -> None:
    model = build(CASES[case], tmp_path)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 2
    assert worst(opened(tmp_path)[1], model, token_ids(case)) <= TOLERANCE


def test_bare_model(tmp_path: Path) -> None:
    model = build(CASES["llama-v4"], tmp_path, causal=False)
    model.save_pretrained(tmp_path)
    checkpoint, found = opened(tmp_path)
    assert "embed_tokens.weight" in checkpoint.tensors.tensors
    assert worst(found, model, token_ids("llama-v4")) <= TOLERANCE


@pytest.mark.parametrize("case", ["llama-v5-llama3", "qwen3-v4", "olmo3-v4"])
def test_bfloat16(case: str, tmp_path: Path) -> None:
    """Stored and computed in bfloat16, no further from float32 than transformers is."""
    model = build(CASES[case], tmp_path, dtype="bfloat16")
    model.save_pretrained(tmp_path)
    checkpoint = open_checkpoint(str(tmp_path))
    assert {info.stored for info in checkpoint.tensors.tensors.values()} == {"BF16"}
    spec = spec_of(checkpoint.config, checkpoint.config_where)
    decoder = load(spec, checkpoint.tensors, jnp.bfloat16)
    ids, top = token_ids(case), spec.num_layers
    rounded = np.asarray(forward(decoder, spec, taps=[Tap(top)])(ids)[top])
    theirs = expected(model, ids)[str(top)]
    truth = expected(model.float(), ids)[str(top)]

    def error(states: Floats) -> float:
        return float(np.linalg.norm(states - truth) / np.linalg.norm(truth))

    assert 1e-3 < error(rounded) <= 1.2 * error(theirs) < 0.05


# ---- random configs ---------------------------------------------------------------------------


def pick(rng: np.random.Generator, *options: Any) -> Any:
    return options[rng.integers(len(options))]


def random_rope(rng: np.random.Generator) -> dict[str, JSON]:
    kind = pick(rng, "default", "linear", "llama3", "yarn")
    if kind == "default":
        return {"rope_type": kind}
    rope: dict[str, JSON] = {"rope_type": kind, "factor": float(rng.integers(2, 17))}
    if kind == "llama3":
        low = float(rng.uniform(0.5, 2))
        rope |= {"low_freq_factor": low, "high_freq_factor": low + float(rng.uniform(0.5, 6))}
    if kind != "linear":
        rope["original_max_position_embeddings"] = pick(rng, 16, 100, 4096)
    if kind == "yarn":
        rope |= pick(rng, {}, {"beta_fast": 16.0, "beta_slow": 2.0})
        rope |= pick(rng, {}, {"attention_factor": 1.1}, {"mscale": 1.0, "mscale_all_dim": 0.5})
    return rope


def random_config(seed: int) -> dict[str, JSON]:
    rng = np.random.default_rng(seed)
    family = ("llama", "qwen2", "qwen3", "olmo2", "olmo3")[seed % 5]
    kv_heads, layers = pick(rng, 1, 2, 3), int(rng.integers(1, 5))
    head_dim, heads = pick(rng, 4, 6, 8), kv_heads * pick(rng, 1, 2, 4)
    own = family in {"llama", "qwen3"} and pick(rng, True, False)
    config: dict[str, JSON] = {
        "model_type": family,
        "vocab_size": 61,
        "hidden_size": heads * pick(rng, 2, 5) if own else heads * head_dim,
        "intermediate_size": pick(rng, 12, 50),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "max_position_embeddings": 32768,
        "rms_norm_eps": pick(rng, 1e-6, 1e-5),
        "hidden_act": "silu",
        "tie_word_embeddings": pick(rng, True, False),
        "attention_bias": pick(rng, True, False),
        "mlp_bias": pick(rng, True, False),
        "sliding_window": int(rng.integers(1, 13)),
        "use_sliding_window": True,
        "max_window_layers": int(rng.integers(0, 3)),
    }
    if family == "olmo3" or (family != "llama" and pick(rng, True, False)):
        config["layer_types"] = [
            pick(rng, "full_attention", "sliding_attention") for _ in range(layers)
        ]
    if pick(rng, True, False):
        # Of such a file, transformers 5.23 gives sliding layers a theta of 5e5 whatever it says.
        theta = 5e5 if family == "olmo3" else pick(rng, 1e4, 5e6)
        return config | {"rope_theta": theta, "rope_scaling": random_rope(rng)}
    theta = pick(rng, 1e4, 5e6)
    if family != "olmo3":
        # Of nested parameters, transformers 5.23 overlooks truncate.
        rope = random_rope(rng) | pick(rng, {}, {"truncate": False})
        return config | {"rope_parameters": {"rope_theta": theta, **rope}}
    ropes: dict[str, JSON] = {
        name: {"rope_theta": pick(rng, 1e4, 5e6), **random_rope(rng)}
        for name in ("full_attention", "sliding_attention")
    }
    return config | {"rope_parameters": ropes}


@pytest.mark.usefixtures("quick_compiles")  # as many programs as configs, each run once
@pytest.mark.parametrize("seed", range(10))
def test_random_configs(seed: int, tmp_path: Path) -> None:
    config = random_config(seed)
    model = build(config, tmp_path)
    model.save_pretrained(tmp_path)
    if seed % 2:
        write(config, tmp_path)
    rng = np.random.default_rng(seed)
    ids = rng.integers(61, size=(int(rng.integers(1, 4)), int(rng.integers(1, 40))), dtype=np.int32)
    assert worst(opened(tmp_path)[1], model, ids) <= TOLERANCE


# ---- rotary tables at full length -------------------------------------------------------------

REAL: dict[str, dict[str, JSON]] = {
    "SmolLM2": {"model_type": "llama", "head_dim": 64, "rope_theta": 1e5},
    "Llama-3.1": {
        "model_type": "llama",
        "rope_theta": 5e5,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    },
    "Qwen3-2507": {"model_type": "qwen3", "head_dim": 128, "rope_theta": 5e6},
    "Olmo-3": {
        "model_type": "olmo3",
        "rope_theta": 5e5,
        "sliding_window": 4096,
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 8.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "original_max_position_embeddings": 8192,
            "attention_factor": 1.2079441541679836,
        },
    },
}


@pytest.mark.parametrize("name", REAL)
def test_tables_of_real_models(name: str, tmp_path: Path) -> None:
    """Positions up to 65,535; a frequency whose last bit differs turns by 6e-5 there."""
    config = dict(CASES["llama-v4"]) | {"hidden_size": 4096, "num_attention_heads": 32} | REAL[name]
    spec = spec_of(config, name)
    length = 65536
    # What the tables do not depend on, made small.
    config |= {"hidden_size": 128, "intermediate_size": 1, "vocab_size": 2}
    config |= {"head_dim": spec.head_dim, "num_attention_heads": 2}
    model = build(config, tmp_path, causal=False)
    arguments = (torch.zeros(1, 1, 1), torch.arange(length)[None])
    for kind in set(spec.kinds):
        layer_type = "full_attention" if kind.window is None else "sliding_attention"
        named = (layer_type,) if name == "Olmo-3" else ()
        theirs = [
            x[0, :, : spec.head_dim // 2].numpy() for x in model.rotary_emb(*arguments, *named)
        ]
        for own, their in zip(tables(kind.rope, length), theirs, strict=True):
            assert np.abs(own - their).max() <= 1e-4
