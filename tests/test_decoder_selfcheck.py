"""The check before real work: it accepts what is right in either dtype, and refuses each fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.typing import DTypeLike

from extract.decoder import selfcheck
from extract.decoder.attention import chunked
from extract.decoder.errors import AttentionCheckError
from extract.decoder.modules import Attend
from extract.decoder.selfcheck import TOLERANCES, check
from extract.decoder.spec import DecoderSpec
from tests.decoder_cases import CASES
from tests.decoder_models import Floats, place, spec_for

# The head shape of which faults move the states least: many queries share a key, as in Qwen2-7B.
SPEC = spec_for(
    CASES["qwen2-v4"]
    | {"num_attention_heads": 28, "num_key_value_heads": 4, "head_dim": 128, "hidden_size": 3584}
)

FAULTS: dict[str, Callable[[Array, Array, Array, int | None], Array]] = {
    "sees the next token": lambda q, k, v, window: chunked(
        q, jnp.roll(k, -1, 1), jnp.roll(v, -1, 1), window
    ),
    "window too wide": lambda q, k, v, window: chunked(q, k, v, window and window + 1),
    "window too narrow": lambda q, k, v, window: chunked(q, k, v, window and window - 1),
    "window ignored": lambda q, k, v, window: chunked(q, k, v, None),
    "scale": lambda q, k, v, window: chunked(q * jnp.asarray(1.1, q.dtype), k, v, window),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_accepts(dtype: DTypeLike) -> None:
    assert check(chunked, SPEC, dtype, place()) <= TOLERANCES[jnp.dtype(dtype).name] / 2


@pytest.fixture(scope="module")
def plain() -> dict[str, Floats]:
    """The plain states by dtype, which are the same for every check."""
    return {}


@pytest.fixture
def plain_once(plain: dict[str, Floats], monkeypatch: pytest.MonkeyPatch) -> None:
    """They are computed for the first fault alone."""
    states = selfcheck._states

    def once(spec: DecoderSpec, attend: Attend, dtype: DTypeLike, *rest: Any) -> Floats:
        name = jnp.dtype(dtype).name
        if attend is not chunked or name not in plain:
            found = states(spec, attend, dtype, *rest)
            return plain.setdefault(name, found) if attend is chunked else found
        return plain[name]

    monkeypatch.setattr(selfcheck, "_states", once)


@pytest.mark.usefixtures("plain_once")
@pytest.mark.parametrize("fault", FAULTS)
def test_refuses(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By bfloat16's tolerance, which is the wider; in float32, which compiles sooner."""
    monkeypatch.setitem(TOLERANCES, "float32", TOLERANCES["bfloat16"])
    with pytest.raises(AttentionCheckError, match=r"differ by 0\.\d+ .*at most 0\.025"):
        check(FAULTS[fault], SPEC, jnp.float32, place())


def test_what_is_not_a_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def states(spec: object, attend: Attend, *rest: object) -> Floats:
        return np.full(3, np.nan if attend is broken else 1, np.float32)

    def broken(q: Array, k: Array, v: Array, window: int | None) -> Array:
        return chunked(q, k, v, window)

    monkeypatch.setattr(selfcheck, "_states", states)
    with pytest.raises(AttentionCheckError, match=r"attention 'broken' on cpu .* differ by nan"):
        check(broken, SPEC, jnp.float32, place())
