"""PROSE: an operator that reads the equation beside the initial values.

Tokens of the equation and patches of the initial values attend to each other; each point of the
solution then reads from them by cross-attention, alone, so that it has derivatives as any other
field has. Cross-attention with one head is ``softmax(h A) B`` with matrices A and B that the tokens
make: a layer of a network whose weights a member has for itself.
"""

import math
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from pinops.derivatives import Jet, Plan, add, elementwise, linear, product, tanh
from pinops.networks import MAX_DEPTH, MAX_WIDTH, Frozen, JetNetwork
from pinops.operators._deeponet import frozen, standardised
from pinops.operators._operator import Numbers, Operator, OperatorArchitecture
from pinops.operators._pointwise import Affine, Normalised, Perceptron, Uniform
from pinops.problem import CONSTANTS, FAMILY, VOCABULARY, WORDS, Inputs, at_sensors, shapes_of
from pinops.settings import check_settings, one_of, whole

_CONSTANT = 1  # the code of <C>
# What is read of an equation. The last two are controls: is it the words that help?
_READ = {
    "tokens": (WORDS, CONSTANTS),
    "one-hot, constants": (FAMILY, WORDS, CONSTANTS),
    "one-hot": (FAMILY,),
    None: (),
}
_FREQUENCIES = (0.5, 1.0, 2.0, 4.0)  # of the logarithm of a constant
_OF_CONSTANT = 3 + 4 * len(_FREQUENCIES)  # numbers that a constant is embedded as


def embedded_constants(values: Float[Array, "*n"]) -> Float[Array, "*n e"]:
    """Continuous features of constants: sign, size and waves of the logarithm of the size."""
    sign, size = jnp.sign(values), jnp.log(jnp.maximum(jnp.abs(values), 1e-12))
    angle = jnp.stack([size * number for number in _FREQUENCIES], -1)
    waves = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], -1)
    plain = jnp.stack([sign, jnp.tanh(values), sign * size / 5], -1)
    return jnp.concatenate([plain, waves, sign[..., None] * waves], -1)


class SelfAttention(eqx.Module):
    """``x + attention(normalised x)``, and then ``x + perceptron(normalised x)``."""

    before: Normalised
    asked: Affine  # queries, keys and values together
    out: Affine
    between: Normalised
    perceptron: Perceptron
    heads: int = eqx.field(static=True)

    @classmethod
    def taken(cls, numbers: Uniform, width: int, heads: int) -> "SelfAttention":
        return cls(
            before=Normalised.fresh(width),
            asked=Affine.taken(numbers, width, 3 * width),
            out=Affine.taken(numbers, width, width),
            between=Normalised.fresh(width),
            perceptron=Perceptron(
                Affine.taken(numbers, width, 2 * width), Affine.taken(numbers, 2 * width, width)
            ),
            heads=heads,
        )

    def __call__(self, x: Float[Array, "s w"], present: Bool[Array, " s"]) -> Float[Array, "s w"]:
        count, width = x.shape
        each = self.asked(self.before(x)).reshape(count, 3, self.heads, -1)
        queries, keys, values = each[:, 0], each[:, 1], each[:, 2]
        scores = jnp.einsum("shc,thc->hst", queries, keys) * math.sqrt(self.heads / width)
        weights = jax.nn.softmax(jnp.where(present[None, None], scores, -1e9), -1)
        x = x + self.out(jnp.einsum("hst,thc->shc", weights, values).reshape(count, width))
        return x + self.perceptron(self.between(x))


def softmax(scores: Jet, heads: int, plan: Plan) -> Jet:
    """Of each head's part of the columns, with derivatives."""
    size = scores[()].shape[1] // heads
    value = jnp.asarray(scores[()])
    # It does not depend on what is subtracted, so that this may count as a constant.
    largest = jnp.max(value.reshape(-1, heads, size), -1)
    shifted = {**scores, (): value - jax.lax.stop_gradient(jnp.repeat(largest, size, 1))}
    powers = elementwise(_exponential, shifted, plan)
    belongs = np.repeat(np.eye(heads, dtype=value.dtype), size, 0)
    total = elementwise(_reciprocal, linear(powers, jnp.asarray(belongs)), plan)
    return product(powers, linear(total, jnp.asarray(belongs.T)), plan)


def unit(jet: Jet, plan: Plan) -> Jet:
    """Divided by the root mean square of the features of each point, with derivatives."""
    width = jet[()].shape[1]
    mean = jnp.full((width, 1), 1 / width, jet[()].dtype)
    square = linear(product(jet, jet, plan), mean)
    return product(jet, elementwise(_inverse_root, square, plan), plan)


def _exponential(z: Array, order: int) -> list[Array]:
    return [jnp.exp(z)] * (order + 1)


def _reciprocal(z: Array, order: int) -> list[Array]:
    return [(-1) ** k * math.factorial(k) / z ** (k + 1) for k in range(order + 1)]


def _inverse_root(z: Array, order: int) -> list[Array]:
    z, out, factor = z + 1e-6, [], 1.0
    for k in range(order + 1):
        out.append(factor * z ** (-0.5 - k))
        factor *= -0.5 - k
    return out


class Reading(eqx.Module):
    """A layer of the decoder: each point reads from the tokens, and then thinks alone."""

    asked: Affine
    keys: Affine
    values: Affine
    out: Affine
    hidden: Affine
    last: Affine

    @classmethod
    def taken(cls, numbers: Uniform, width: int) -> "Reading":
        return cls(
            asked=Affine.taken(numbers, width, width, bias=False),
            keys=Affine.taken(numbers, width, width),
            values=Affine.taken(numbers, width, width),
            out=Affine.taken(numbers, width, width, bias=False),
            hidden=Affine.taken(numbers, width, 2 * width),
            last=Affine.taken(numbers, 2 * width, width),
        )

    def matrices(
        self, tokens: Float[Array, "s w"], heads: int
    ) -> tuple[Float[Array, "w hs"], Float[Array, "hs w"]]:
        """A and B of ``softmax(h A) B``."""
        width = tokens.shape[1]
        keys, values = (
            part(tokens).reshape(len(tokens), heads, -1) for part in (self.keys, self.values)
        )
        asked = self.asked.weight.reshape(width, heads, -1) * math.sqrt(heads / width)
        out = self.out.weight.reshape(heads, -1, width)
        a = jnp.einsum("whc,shc->whs", asked, keys).reshape(width, -1)
        return a, jnp.einsum("shc,hcw->hsw", values, out).reshape(-1, width)


class ReadingNetwork(JetNetwork):
    """The solution of one problem: points that read from its tokens.

    Attributes:
        first: From features of the coordinates to a point's own features.
        second: The same again.
        layers: Of the decoder.
        matrices: Of each layer.
        last: To the unknowns.
        heads: Of the attention.
    """

    first: Affine
    second: Affine
    layers: tuple[Reading, ...]
    matrices: tuple[tuple[Float[Array, "w hs"], Float[Array, "hs w"]], ...]
    last: Affine
    heads: int = eqx.field(static=True)

    def jet(self, features: Jet, plan: Plan) -> Jet:
        def through(layer: Affine, jet: Jet) -> Jet:
            return linear(jet, layer.weight, layer.bias)

        h = through(self.second, elementwise(tanh, through(self.first, features), plan))
        for layer, (a, b) in zip(self.layers, self.matrices, strict=True):
            h = add(h, linear(softmax(linear(unit(h, plan), a), self.heads, plan), b))
            inner = elementwise(tanh, through(layer.hidden, unit(h, plan)), plan)
            h = add(h, through(layer.last, inner))
        return through(self.last, unit(h, plan))


class PROSENetwork(Operator):
    """Encoders of the equation and of the functions, their fusion, and the decoder.

    Attributes:
        table: ``(VOCABULARY, w)``, the embedding of each word; of families in their place a row
            each; None without symbols.
        constant: The embedding of constants.
        places: ``(l, w)``, the embedding of the place of a word.
        symbols: Layers that see words.
        patches: The embedding of patches of each function, and of numbers, by name.
        positions: Of the patches.
        functions: Layers that see functions.
        fusion: Layers that see all tokens.
        decoder: A `ReadingNetwork` without matrices.
        centre: The means of the inputs in the training, by name.
        deviation: Their standard deviations.
        kind: As ``symbols`` of `PROSE`.
        patch: Sensors in a patch.
    """

    table: Float[Array, "v w"] | None
    constant: Affine | None
    places: Float[Array, "l w"] | None
    symbols: tuple[SelfAttention, ...]
    patches: dict[str, Affine]
    positions: dict[str, Float[Array, "p w"]]
    functions: tuple[SelfAttention, ...]
    fusion: tuple[SelfAttention, ...]
    decoder: ReadingNetwork
    centre: Frozen
    deviation: Frozen
    kind: str | None = eqx.field(static=True)
    patch: int = eqx.field(static=True)

    def __call__(self, inputs: Inputs) -> ReadingNetwork:
        found = self._function_tokens(inputs)
        count = len(found)
        everything = jnp.ones(count, bool)
        for layer in self.functions:
            found = layer(found, everything)
        words, present = self._symbol_tokens(inputs, found)
        tokens = jnp.concatenate([found, words])
        present = jnp.concatenate([everything, present])
        for layer in self.fusion:
            tokens = layer(tokens, present)
        read = tokens[:count]
        heads = self.decoder.heads
        matrices = tuple(layer.matrices(read, heads) for layer in self.decoder.layers)
        return eqx.tree_at(lambda d: d.matrices, self.decoder, matrices)

    def _function_tokens(self, inputs: Inputs) -> Float[Array, "s w"]:
        """A token for each patch of each function, and for each number."""
        rows = []
        for name, layer in self.patches.items():
            given = standardised(
                jnp.asarray(inputs[name]), self.centre.tree[name], self.deviation.tree[name]
            )
            patches = patches_of(given, self.patch)
            rows.append(layer(patches) + self.positions[name])
        return jnp.concatenate(rows)

    def _symbol_tokens(
        self, inputs: Inputs, like: Float[Array, "s w"]
    ) -> tuple[Float[Array, "l w"], Bool[Array, " l"]]:
        """A token for each word, and which of them there are."""
        if self.kind is None or self.table is None:
            return like[:0], jnp.zeros(0, bool)
        numbered = FAMILY in _READ[self.kind]
        family = (jnp.asarray(inputs[FAMILY]) @ self.table)[None] if numbered else like[:0]
        if self.constant is None or self.places is None:
            return family, jnp.ones(1, bool)
        codes = jnp.asarray(inputs[WORDS]).astype(jnp.int32)
        constants = self.constant(embedded_constants(jnp.asarray(inputs[CONSTANTS])))
        words, present = jnp.where((codes == _CONSTANT)[:, None], constants, 0.0), codes > 0
        if numbered:
            present = codes == _CONSTANT
        else:
            words = words + jnp.take(self.table, codes, axis=0, mode="clip")
        words = jnp.concatenate([family, words + self.places])
        present = jnp.concatenate([jnp.ones(len(family), bool), present])
        for layer in self.symbols:
            words = layer(words, present)
        return words, present


def patches_of(values: Float[Array, "..."], patch: int) -> Float[Array, "p q"]:
    """A number, a function at sensors ``(m,)``, or a history of frames ``(f, m)`` in patches of
    neighbouring sensors, each with all frames.
    """
    if values.ndim == 0:
        return values[None, None]
    frames = jnp.atleast_2d(values)
    return frames.reshape(len(frames), -1, patch).swapaxes(0, 1).reshape(-1, len(frames) * patch)


class PROSE(OperatorArchitecture):
    """An operator for many equations, which it reads: symbols and functions to a solution.

    Source: Liu, Zhang & Schaeffer, arXiv:2309.16816 (the architecture), Sun et al.,
    arXiv:2404.12355 (for partial differential equations), and Zhu, Sun, Zhang, Schaeffer & Lu,
    arXiv:2512.23056 (trained on the equations). It differs from them: constants are embedded as
    numbers and not as digits, layers are normalised before they act, points of the solution are
    normalised by their root mean square, and there is no decoder of symbols.

    Trained on a `Mixture`, on data, on its equations, or on both. The inputs that its families
    share are numbers, functions at sensors ``(m,)``, or histories of frames ``(f, m)``.

    Args:
        width: Features of a token and of a point, a multiple of ``heads``.
        depth: Layers of self-attention of the words, of the functions, and of their fusion, each.
        layers: Layers of the decoder.
        heads: Of the attention.
        patch: Neighbouring sensors in one token, a divisor of their number.
        symbols: What it knows of the equation: its "tokens", the number of its family ("one-hot"),
            that number and the constants ("one-hot, constants"), or None.

    Raises:
        ValueError: For a width that heads do not divide.

    Example:
        >>> mixture = po.Mixture(["advection_waves", "heat_waves"])
        >>> trained = po.train(mixture, po.operators.PROSE(width=32))  # doctest: +SKIP
    """

    width: int = whole(64, most=MAX_WIDTH)
    depth: int = whole(2, most=MAX_DEPTH)
    layers: int = whole(2, most=MAX_DEPTH)
    heads: int = whole(4, most=1000)
    patch: int = whole(8, most=100_000)
    symbols: str | None = one_of("tokens", tuple(_READ))

    def __check_init__(self):
        check_settings(self)
        if self.width % self.heads:
            raise ValueError(
                f"PROSE: width must be a multiple of heads={self.heads}, got {self.width}"
            )

    def build(
        self,
        centre: Mapping[str, Numbers],
        deviation: Mapping[str, Numbers],
        features: int,
        unknowns: int,
        *,
        key: PRNGKeyArray,
    ) -> PROSENetwork:
        shapes = shapes_of(centre)
        self._check(shapes)

        def drawn(numbers: Uniform) -> PROSENetwork:
            return self._drawn(numbers, shapes, features, unknowns, (centre, deviation))

        return Uniform.drawn(drawn, key)

    def _check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raises ValueError for inputs without an equation, and for those that are no patches."""
        for name in _READ[self.symbols]:
            if name not in shapes:
                raise ValueError(
                    f"PROSE: the inputs have no {name}; train(Mixture([...]), PROSE()) knows the "
                    "equation, or choose PROSE(symbols=None)"
                )
        for name, shape in shapes.items():
            if name in (WORDS, CONSTANTS, FAMILY):
                continue
            if at_sensors(shape) or len(shape) > 2:
                raise ValueError(
                    f"PROSE: the input {name} has the shape {shape}; it takes numbers, functions "
                    "at sensors (m,) and histories (frames, m)"
                )
            if shape and shape[-1] % self.patch:
                raise ValueError(
                    f"PROSE: patch must divide the {shape[-1]} sensors of {name}, got {self.patch}"
                )

    def _drawn(
        self,
        numbers: Uniform,
        shapes: Mapping[str, tuple[int, ...]],
        features: int,
        unknowns: int,
        statistics: tuple[Any, Any],
    ) -> PROSENetwork:
        w, small = self.width, 1 / math.sqrt(self.width)
        read = _READ[self.symbols]
        words = WORDS in read

        def attention(count: int) -> tuple[SelfAttention, ...]:
            return tuple(SelfAttention.taken(numbers, w, self.heads) for _ in range(count))

        own = [name for name in shapes if name not in (WORDS, CONSTANTS, FAMILY)]
        sizes = {name: _patches(shapes[name], self.patch) for name in own}
        count = math.prod(shapes[FAMILY]) if FAMILY in read else VOCABULARY * words
        decoder = ReadingNetwork(
            first=Affine.taken(numbers, features, w),
            second=Affine.taken(numbers, w, w),
            layers=tuple(Reading.taken(numbers, w) for _ in range(self.layers)),
            matrices=(),
            last=Affine.taken(numbers, w, unknowns),
            heads=self.heads,
        )
        return PROSENetwork(
            table=numbers.take(1.0, count, w) if count else None,
            constant=Affine.taken(numbers, _OF_CONSTANT, w) if words else None,
            places=numbers.take(1.0, *shapes[WORDS], w) if words else None,
            symbols=attention(self.depth) if words else (),
            patches={name: Affine.taken(numbers, size, w) for name, (_, size) in sizes.items()},
            positions={name: numbers.take(small, number, w) for name, (number, _) in sizes.items()},
            functions=attention(self.depth),
            fusion=attention(self.depth),
            decoder=decoder,
            centre=frozen(statistics[0]),
            deviation=frozen(statistics[1]),
            kind=self.symbols,
            patch=self.patch,
        )


def _patches(shape: tuple[int, ...], patch: int) -> tuple[int, int]:
    """How many tokens an input of this shape has, and the numbers of each."""
    if not shape:
        return 1, 1
    frames = shape[0] if len(shape) == 2 else 1
    return shape[-1] // patch, frames * patch
