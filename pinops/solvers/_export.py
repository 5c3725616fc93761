"""What a training leaves, as one file that is used without pinops, or without its run directory.

The suffix says what is written. A *program* is the whole function from physical values to physical
values, scaling and exact conditions included: ``.stablehlo``, called by ``jax.export.deserialize``,
and ``.onnx``, called by ONNX Runtime. The *weights* alone are ``.safetensors``, which `load` reads.
Beside each lies ``FILE.json``, its description.
"""

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pinops.data import (
    described_by,
    read_description,
    replacing,
    said,
    weights_as_bytes,
    write_description,
)
from pinops.solvers._request import check_same

_PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
_OPSET = 23  # of ONNX
_AGREES = 1e4  # units of round-off by which two runtimes may differ
Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class Program:
    """A pure function of named arrays.

    Attributes:
        call: From inputs by name to outputs by name.
        inputs: The shape of each input. A letter is a length that may be any, the same wherever it
            stands: ``{"a": ("n", 16, 16)}``.
        outputs: The shape of each output.
        about: What else a user needs: axes, bounds, channels; as JSON.
    """

    call: Callable[[Mapping[str, Array]], dict[str, Array]]
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]
    about: Mapping[str, Any] = field(default_factory=dict)


class Exportable(Protocol):
    """What a training leaves, as far as an export needs it; the methods are those of `Trained`."""

    request: dict[str, Any]
    history: Any
    status: Any
    compile_seconds: Any

    @property
    def steps(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    def identified(self) -> dict[str, Any]: ...
    def program(self, snapshots: int | None = None) -> Program: ...
    def weights(self) -> dict[str, np.ndarray]: ...


def export_file(trained: Exportable, path: Path, snapshots: int | None) -> Path:
    """Write a file and its description, in the precision that is in force; see `Trained.export`."""
    chosen = _FORMATS.get(path.suffix)
    if chosen is None:
        raise ValueError(
            f"{path}: the suffix says what is exported, one of {', '.join(_FORMATS)}, got "
            f"{path.suffix or 'none'!r}; choose one of them"
        )
    if importlib.util.find_spec(chosen.library) is None:
        raise ValueError(
            f"a {path.suffix} file needs the library {chosen.library}, which is not installed; "
            f"pip install 'pinops[{chosen.extra}]'"
        )
    request = trained.identified()
    _check_target(path, request)
    content, described = chosen.made(trained, snapshots)
    interface = {
        "kind": type(trained).__name__,
        **described,
        "units": request.get("units", {}),
    }
    # An interruption from here on leaves an unfinished export, which the next one may replace.
    write_description(path, request, None, interface)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    write_description(path, request, _result(trained), interface)
    return path


def _as_stablehlo(trained: Exportable, snapshots: int | None) -> tuple[bytes, dict[str, Any]]:
    from jax import export

    program = trained.program(snapshots)
    letters = dict.fromkeys(
        n for shape in program.inputs.values() for n in shape if isinstance(n, str)
    )
    lengths = dict(zip(letters, export.symbolic_shape(", ".join(letters)), strict=True))
    dtype = jnp.result_type(float)
    arrays = {
        name: jax.ShapeDtypeStruct(tuple(lengths.get(str(n), n) for n in shape), dtype)
        for name, shape in program.inputs.items()
    }
    with _refusing(".stablehlo", instead=".safetensors"):
        exported = export.export(jax.jit(program.call), platforms=_PLATFORMS)(arrays)
        content = bytes(exported.serialize())
    return content, _interface(program, program.outputs) | {"platforms": list(_PLATFORMS)}


def _as_onnx(trained: Exportable, snapshots: int | None) -> tuple[bytes, dict[str, Any]]:
    from jax2onnx import to_onnx  # pyright: ignore[reportMissingImports]

    program = trained.program(snapshots)
    # The inputs and the outputs of a graph share their names.
    outputs = {
        f"{name}_out" if name in program.inputs else name: shape
        for name, shape in program.outputs.items()
    }

    def call(*arrays: Array) -> tuple[Array, ...]:
        found = program.call(dict(zip(program.inputs, arrays, strict=True)))
        return tuple(found[name] for name in program.outputs)

    with _refusing(".onnx", instead=".stablehlo"):
        model: Any = to_onnx(
            call,
            inputs=[tuple(shape) for shape in program.inputs.values()],
            model_name="pinops",
            opset=_OPSET,
            enable_double_precision=jnp.result_type(float) == jnp.float64,
            input_names=list(program.inputs),
            output_names=list(outputs),
        )
        content = model.SerializeToString()
        _compare(content, program)
    return content, _interface(program, outputs) | {"opset": _OPSET}


def _compare(content: bytes, program: Program) -> None:
    """Raises ValueError where ONNX Runtime gives other values than JAX: the converter is young, and
    some operations that it takes come out wrong.
    """
    import onnxruntime  # pyright: ignore[reportMissingImports]

    dtype, random = jnp.result_type(float), np.random.default_rng(0)
    lengths = {"n": 3, "m": 5}
    shapes = {
        name: [n if isinstance(n, int) else lengths[n] for n in shape]
        for name, shape in program.inputs.items()
    }
    given = {name: random.uniform(0.1, 1.0, shape).astype(dtype) for name, shape in shapes.items()}
    wanted = jax.jit(program.call)(given)
    runtime: Any = onnxruntime
    quiet = runtime.SessionOptions()
    quiet.log_severity_level = 3  # errors; warnings are about constants that are not used
    session = runtime.InferenceSession(content, quiet, providers=["CPUExecutionProvider"])
    found = session.run(None, given)
    for name, values in zip(program.outputs, found, strict=True):
        size = float(jnp.max(jnp.abs(wanted[name])))
        off = float(np.max(np.abs(values - np.asarray(wanted[name]))))
        if not off <= _AGREES * float(jnp.finfo(dtype).eps) * size:
            raise ValueError(f"ONNX Runtime gives a {name} that is off by {off:.1e} of {size:.1e}")


def _as_weights(trained: Exportable, snapshots: int | None) -> tuple[bytes, dict[str, Any]]:
    if snapshots is not None:
        raise ValueError("snapshots= is for programs, and .safetensors holds weights; leave it out")
    arrays = trained.weights()
    described = {
        name: {"shape": list(array.shape), "dtype": str(array.dtype)}
        for name, array in arrays.items()
    }
    return weights_as_bytes(arrays), {"arrays": described}


@dataclass(frozen=True)
class _Format:
    """What a suffix stands for.

    Attributes:
        library: What must be installed.
        extra: The extra of pinops that brings it.
        made: The content of the file, and what its description says of it.
    """

    library: str
    extra: str
    made: Callable[[Exportable, int | None], tuple[bytes, dict[str, Any]]]


_FORMATS = {
    ".stablehlo": _Format("flatbuffers", "export", _as_stablehlo),
    ".onnx": _Format("jax2onnx", "onnx", _as_onnx),
    ".safetensors": _Format("safetensors", "export", _as_weights),
}


def _interface(program: Program, outputs: Mapping[str, Shape]) -> dict[str, Any]:
    dtype = str(jnp.result_type(float))

    def described(shapes: Mapping[str, Shape]) -> dict[str, Any]:
        return {name: {"shape": list(shape), "dtype": dtype} for name, shape in shapes.items()}

    return {"inputs": described(program.inputs), "outputs": described(outputs), **program.about}


def _result(trained: Exportable) -> dict[str, Any]:
    """What came out, without errors: they may take references of a hundred problems."""
    return {
        "status": trained.status,
        "steps": trained.steps,
        "seconds": round(trained.seconds, 3),
        "compile_seconds": round(trained.compile_seconds, 3),
        "loss": trained.history[-1].loss if trained.history else None,
    }


@contextmanager
def _refusing(suffix: str, instead: str) -> Iterator[None]:
    """Whatever the libraries raise becomes one sentence."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"this cannot be exported as {suffix} ({type(error).__name__}: {said(error)}); export "
            f"it as {instead}"
        ) from error


def _check_target(path: Path, request: Mapping[str, Any]) -> None:
    """Raises ValueError for a file that is not an export of the same run."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; choose a file for the export")
    if not described_by(path).exists():
        if path.exists():
            raise ValueError(f"{path} is no export of this run; choose another name")
        return
    before = read_description(path, written=False)["request"]
    holds = f"{path} is an export of"
    check_same(before, request, holds=holds, remedy="choose another name")
