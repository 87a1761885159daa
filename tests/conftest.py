"""How every test runs: JAX at its strictest, on two devices, and Hypothesis by profile."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import pytest
from hypothesis import HealthCheck, settings

from tests.cli_runs import enter
from tests.heavy import LONGEST, UNMEASURED

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Before the first array, for the device count is read when the backend starts. A test that passes
# here has promoted nothing silently: no int with float32, no [n] with [n, d].
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Much of the time of tests is that of compiling: with XLA's older emitters and few optimisations a
# quarter of what it is otherwise. Where XLA_FLAGS is set, if to nothing, programs are compiled as
# users' are. Processes that tests start do as this one does. Later releases have the newer emitters
# alone, and end at a flag that they do not know.
if "XLA_FLAGS" not in os.environ:
    older = jax.__version_info__ < (0, 11)
    os.environ["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false" if older else ""
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    jax.config.update("jax_disable_most_optimizations", True)

# No deadline in either: the first example of a shape pays for its compilation.
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=50,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("dev", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, the others in the order of their names."""
    places = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def _measured() -> Any:
    """What coverage.py measures in this process, if it does."""
    return sys.modules["coverage"].Coverage.current() if "coverage" in sys.modules else None


def pytest_sessionfinish() -> None:
    """A worker keeps what it measured at once: its controller soon kills what has not ended."""
    if measured := _measured():
        measured.stop()
        measured.save()


@pytest.fixture(scope="module", autouse=True)
def _measured_where_it_tells_something(request: pytest.FixtureRequest) -> Iterator[None]:
    """No tracing in the files of `UNMEASURED` and those of benches, nor in what they start."""
    name = request.path.stem.removeprefix("test_")
    measured = _measured() if name in UNMEASURED or name.startswith("bench") else None
    if not measured:
        yield
        return
    measured.stop()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield
    measured.start()


@pytest.fixture
def quick_compiles() -> Iterator[None]:
    """XLA without most of its optimisations, also where XLA_FLAGS is set."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all of a file's pages: it takes longer to start than to show one."""
    from tests.browser import started

    with started() as found:
        yield found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own that holds the tiny artifact."""
    return enter(tmp_path, monkeypatch)


@pytest.fixture
def tiny(here: Path) -> Path:
    """The tiny artifact in `here`."""
    return here / "annotated_traces_reprs" / "tiny"
