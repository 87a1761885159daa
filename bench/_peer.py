"""The same model by transformers and torch, to compare with: the weights are taken from ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from numpy.typing import NDArray

from bench._forward_cost import Products, products
from extract.decoder.modules import Decoder, Turned
from extract.decoder.spec import DecoderSpec
from spectra.backend import usable_cores
from spectra.strict_json import JSONObject


class Absent(Exception):
    """There is nothing to compare with here; the message says why."""


class Peer:
    """torch on the platform that ours runs on, in the same dtype."""

    def __init__(self, platform: str, dtype: DTypeLike) -> None:
        """Raises `Absent`."""
        missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
        if missing:
            raise Absent(f"not compared: {' and '.join(missing)} not installed")
        torch: Any = import_module("torch")
        if platform not in {"cpu", "gpu"} or (platform == "gpu" and not torch.cuda.is_available()):
            raise Absent(f"not compared: torch {torch.__version__} has no {platform} here")
        torch.set_num_threads(usable_cores())
        self._torch = torch
        self._device = "cuda" if platform == "gpu" else "cpu"
        self._dtype: Any = getattr(torch, jnp.dtype(dtype).name)

    def describe(self) -> str:
        """What runs, for the card."""
        torch = self._torch
        return (
            f"transformers {version('transformers')}, torch {torch.__version__}, {self._device}, "
            f"{self._dtype}, sdpa, {torch.get_num_threads()} threads, inference mode"
        )

    def products(self, spec: DecoderSpec, tokens: int) -> Products:
        """torch's own, on a CPU."""
        torch, tasks = self._torch, {}
        for name, (n, inputs, outputs) in products(spec, tokens).items():
            x, weight = (torch.ones(rows, inputs, dtype=self._dtype) for rows in (n, outputs))
            tasks[name] = partial(torch.matmul, x, weight.T)
        return Products(tasks, 1)

    def forward(
        self, config: JSONObject, decoder: Decoder
    ) -> Callable[[Sequence[NDArray[np.int32]]], Callable[[], list[Any]]]:
        """From batches of token ids [B, T] to the task of computing their last, normed states.

        The model is the one of this config.json with the decoder's weights.
        """
        torch, model = self._torch, self._model(config, decoder)

        def task(batches: Sequence[NDArray[np.int32]]) -> Callable[[], list[Any]]:
            moved = [torch.tensor(ids, dtype=torch.int64, device=self._device) for ids in batches]

            def run() -> list[Any]:
                with torch.inference_mode():
                    states = [
                        model(input_ids=ids, use_cache=False).last_hidden_state for ids in moved
                    ]
                if self._device == "cuda":
                    torch.cuda.synchronize()
                return states

            return run

        return task

    def _model(self, config: JSONObject, decoder: Decoder) -> Any:
        """A model on the device, its weights copied one by one from device to device."""
        torch, transformers = self._torch, import_module("transformers")
        fields = {name: value for name, value in config.items() if name != "model_type"}
        described = transformers.AutoConfig.for_model(str(config["model_type"]), **fields)
        with torch.device(self._device), torch.no_grad():
            model = transformers.AutoModel.from_config(
                described, attn_implementation="sdpa", dtype=self._dtype
            )
            tensors = model.state_dict()
            ours = dict(nnx.to_flat_state(nnx.state(decoder)))
            names = {".".join(map(str, path)): path for path in ours}
            if names.keys() != tensors.keys():
                raise ValueError(f"{sorted(names.keys() ^ tensors.keys())}: only one model has it")
            for name, path in names.items():
                tensor = torch.from_dlpack(ours[path][...])
                tensors[name].copy_(tensor.T if isinstance(ours[path], Turned) else tensor)
        return model.eval()


def difference(ours: jax.Array, theirs: Any) -> float:
    """The largest ‖ours - theirs‖ / ‖theirs‖ over the tokens' states."""
    wide = theirs.float().cpu().numpy()
    apart = np.linalg.norm(np.asarray(ours.astype(jnp.float32)) - wide, axis=-1)
    return float(np.max(apart / np.linalg.norm(wide, axis=-1)))
