"""Named inputs, the encoders that see them, and data that are checked before training."""

import dataclasses
import json

import equinox as eqx
import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.data import BLOCK, DataFileError, Dataset, check_data, from_pdebench, generate
from pinops.data._hdf5 import digest_of
from pinops.networks import (
    MLP,
    Convolutional,
    Encoder,
    EncoderArchitecture,
    Product,
    Selected,
    Vectors,
    encoder_for,
)
from pinops.operators import FNO, DeepONet, Direct
from pinops.problem import check_family, load_problem, sample_members, unstacked
from pinops.solvers._operator_plan import built_operator, family_scales
from pinops.training import DATA, Members, in_a_row, mean_and_deviation, names_in_a_row

KEY = jax.random.key(0)
FEW = po.Functions(
    pool=16, batch=8, points=po.Collocation(interior=16, batch=8, refinement=None, every=20)
)


class Rod(po.Problem):
    """u_x = force / modulus + mean of the medium, u(0) = 0.

    Numbers of different size, a vector and an image.
    """

    domain = po.Box(x=(0, 1))
    modulus: float = 2e11
    ratio: float = 0.3
    force: np.ndarray = eqx.field(default_factory=lambda: np.ones(5))
    medium: np.ndarray = eqx.field(default_factory=lambda: np.ones((8, 8)))

    def residual(self, u_x):
        return u_x - self.slope()

    def slope(self):
        force = jnp.mean(jnp.asarray(self.force))
        return force * 2e11 / self.modulus + self.ratio + jnp.mean(jnp.asarray(self.medium))

    def conditions(self):
        return (po.Dirichlet(0.0, on="x_min"),)

    def sample(self, key):
        keys = jax.random.split(key, 4)
        return dataclasses.replace(
            self,
            modulus=2e11 * jax.random.uniform(keys[0], minval=0.5),
            ratio=0.3 + 0.1 * jax.random.normal(keys[1]),
            force=jax.random.normal(keys[2], (5,)),
            medium=jax.random.normal(keys[3], (8, 8)),
        )

    def inputs(self):
        return {
            "ratio": self.ratio,
            "modulus": self.modulus,
            "medium": self.medium,
            "force": self.force,
        }

    def reference(self):
        x = np.linspace(0, 1, 11)
        with jax.enable_x64(True):
            u = {"u": float(self.slope()) * x}
        return po.reference.Reference({"x": x}, u, {"u": 1e-15}, "exact", "by hand")


SHAPES = {"force": (5,), "medium": (8, 8), "modulus": (), "ratio": ()}


def drawn(shapes, count=None):
    """Random inputs of these shapes, ``count`` of them in the leading axis."""
    keys = jax.random.split(KEY, len(shapes))
    lead = () if count is None else (count,)
    return {n: jax.random.normal(k, lead + shapes[n]) for n, k in zip(shapes, keys, strict=True)}


def altered(path, change):
    """The file of a data set after ``change(file)``, with checksums that are right again."""
    with h5py.File(path, "r+") as file:
        change(file)
        groups = ("inputs", "members", "values", "error_bar")
        names = [f"{group}/{key}" for group in groups for key in file[group]]
        attributes = json.loads(str(file.attrs["attributes"]))
        blocks = range(len(attributes["sha256"]))
        attributes["sha256"] = [
            digest_of({name: file[name][k * BLOCK : (k + 1) * BLOCK] for name in names})
            for k in blocks
        ]
        grid = {f"coordinates/{key}": file[f"coordinates/{key}"][()] for key in file["coordinates"]}
        text = json.dumps(attributes | {"coordinates_sha256": digest_of(grid)})
        file.attrs["attributes"], file.attrs["sha256"] = text, digest_of({}, text)
    return Dataset.open(path)


# Encoders


def test_vectors_and_numbers_are_concatenated_in_the_order_of_their_names(float64):
    shapes = {"source": (4,), "viscosity": (), "load": (2,)}
    inputs = drawn(shapes)
    encoder = Vectors(MLP(6, 2)).build(shapes, 3, key=KEY)
    alone = MLP(6, 2).build(7, 3, key=KEY)
    row = jnp.concatenate([inputs["load"], inputs["source"], inputs["viscosity"][None]])
    np.testing.assert_array_equal(encoder(inputs), alone(row))


def test_images_of_one_size_are_channels(float64):
    shapes = {"medium": (9, 8, 2), "mask": (9, 8)}
    inputs = drawn(shapes)
    encoder = Convolutional((3, 4), 3, 8, 1).build(shapes, 5, key=KEY)
    image = jnp.concatenate([inputs["mask"][..., None], inputs["medium"]], -1)
    np.testing.assert_array_equal(encoder(inputs), encoder.network(image))
    with pytest.raises(ValueError, match=r"images must be of one size, got \(9, 8\) and \(8, 8\)"):
        Convolutional().build({"a": (9, 8), "b": (8, 8)}, 5, key=KEY)


def test_the_encoder_of_several_kinds_of_inputs_is_a_product(float64):
    """Of one for all numbers, one for each vector and one for images of a size (MIONet)."""
    inputs = drawn(SHAPES)
    built = Product().build(SHAPES, 7, key=KEY)
    assert [e.names for e in built.encoders] == [("force",), ("medium",), ("modulus", "ratio")]
    wanted = built.encoders[0](inputs) * built.encoders[1](inputs) * built.encoders[2](inputs)
    np.testing.assert_allclose(built(inputs), wanted, rtol=1e-14)


@pytest.mark.parametrize(
    ("shapes", "kind"),
    [
        ({"a": (5,), "b": ()}, Vectors),
        ({"a": (8, 8), "b": (8, 8, 3)}, Convolutional),
        ({"a": (8, 8), "b": (9, 9)}, Product),
        (SHAPES, Product),
    ],
)
def test_the_default_encoder_fits_the_shapes(shapes, kind):
    encoder = encoder_for(None, shapes)
    assert isinstance(encoder, kind)
    assert encoder.build(shapes, 3, key=KEY)(drawn(shapes)).shape == (3,)


class Mean(Encoder):
    """Of every input, times a weight: what a user may write."""

    weight: jax.Array

    def __call__(self, inputs):
        return self.weight * sum(jnp.mean(array) for array in inputs.values())


class MeanOf(EncoderArchitecture):
    size: int = eqx.field(static=True, default=0)

    def build(self, shapes, out_size, *, key):
        return Mean(jax.random.normal(key, (self.size or out_size,)))


def test_an_encoder_of_the_users_own_needs_no_change_in_deeponet():
    centre = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    spread = {name: np.ones(shape) for name, shape in SHAPES.items()}
    operator = DeepONet(MeanOf(), MLP(4, 1), 3).build(centre, spread, 1, 2, key=KEY)
    inputs = drawn(SHAPES)
    mean = sum(float(jnp.mean(array)) for array in inputs.values())
    np.testing.assert_allclose(
        operator(inputs).coefficients.ravel(), operator.branch.weight * mean, rtol=1e-5
    )
    with pytest.raises(
        ValueError, match=r"the encoder MeanOf must give a vector of 6 numbers, got"
    ):
        DeepONet(MeanOf(5), MLP(4, 1), 3).build(centre, spread, 1, 2, key=KEY)


def test_what_encoders_cannot_take_is_a_sentence():
    def build(encoder):
        return encoder.build(SHAPES, 3, key=KEY)

    with pytest.raises(ValueError, match=r"input medium is an image of shape \(8, 8\), which MLP"):
        build(Vectors(MLP(4, 1)))
    with pytest.raises(ValueError, match=r"input force is of shape \(5,\), not an image"):
        build(Convolutional())
    with pytest.raises(ValueError, match="there is no input speed; the family has force, medium"):
        build(Selected(("speed",)))
    with pytest.raises(ValueError, match="no encoder sees medium, modulus, ratio; add Selected"):
        build(Product((Selected(("force",)),)))
    with pytest.raises(
        ValueError, match="encoders must be a tuple with an encoder such as Selected"
    ):
        Product((MLP(4, 1),))
    with pytest.raises(ValueError, match="names must be a tuple with the name of an input"):
        Selected("force")
    with pytest.raises(ValueError, match="DeepONet: branch must be an encoder such as"):
        DeepONet(branch="mlp")


# Named inputs


def test_every_input_is_standardised_relative_to_its_own_size(float64):
    members = sample_members(Rod(), KEY, range(64))
    inputs = {name: np.asarray(array) for name, array in jax.vmap(Rod.inputs)(members).items()}
    for name, values in inputs.items():
        mean, deviation = mean_and_deviation(values)
        seen = (values - np.asarray(mean)) / np.asarray(deviation)
        np.testing.assert_allclose(seen.mean(0), 0, atol=1e-4, err_msg=name)
        np.testing.assert_allclose(seen.std(0), 1, rtol=1e-4, err_msg=name)


def test_what_is_the_same_for_all_and_what_varies_little_are_told_apart():
    offset = 300 + 1e-3 * np.random.default_rng(0).standard_normal(64)
    mean, deviation = mean_and_deviation(offset)
    np.testing.assert_allclose(np.std((offset - mean) / deviation), 1, rtol=1e-4)
    assert abs(np.mean((offset - mean) / deviation)) < 1e-4
    constant = np.full((64, 2), [2.123456789e11, 0.0], np.float32)
    mean, deviation = mean_and_deviation(constant)
    assert np.abs((constant - mean) / np.asarray(deviation)).max() < 1e-5


@pytest.mark.slow
def test_a_family_of_numbers_vectors_and_images_is_trained_and_loaded(tmp_path):
    branch = Product(
        (
            Selected(("force", "modulus", "ratio"), MLP(8, 1)),
            Selected(("medium",), Convolutional((4,), 3, 8, 1)),
        )
    )
    operator = DeepONet(branch, MLP(8, 1), 6)
    trained = po.train(
        Rod(), operator, functions=FEW, steps=3, progress=False, out=tmp_path / "run"
    )
    member = Rod().sample(KEY)
    request = json.loads((tmp_path / "run" / "run.json").read_text())["request"]
    assert np.shape(request["inputs"]["mean"]["medium"]) == (8, 8)
    again = po.load(tmp_path / "run", problem=Rod())
    np.testing.assert_array_equal(again(member)(x=0.3), trained(member)(x=0.3))


def family_of(value):
    class Family(Rod):
        def inputs(self):
            return value

    return Family()


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (np.ones(3), "must return a dict of named arrays, .* got a ndarray"),
        ({}, "must return a dict of named arrays, .* got an empty dict"),
        ({3: np.ones(3)}, "needs a name like a variable, such as source, got 3"),
        ({"a/b": np.ones(3)}, "needs a name like a variable, such as source, got 'a/b'"),
        ({"a": np.ones(3, complex)}, "complex numbers are not supported"),
        ({"a": np.ones((0, 2))}, r"a has no numbers, its shape is \(0, 2\)"),
        ({"a": "three"}, "a must be an array of numbers, got 'three'"),
    ],
)
def test_inputs_that_cannot_be_meant_are_refused(value, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_family(family_of(value))


def test_a_surrogate_sees_numbers_and_vectors_by_name():
    vectors = {"ratio": 0.3, "force": np.ones(2)}
    assert names_in_a_row(family_of(vectors)) == ["force 0", "force 1", "ratio"]
    row = in_a_row({"ratio": np.asarray([3.0]), "force": np.asarray([[1.0, 2.0]])}, 1)
    np.testing.assert_array_equal(row, [[1.0, 2.0, 3.0]])
    assert names_in_a_row(family_of(vectors), ("force",)) == ["ratio"]


# Missing values


@pytest.fixture
def rods(tmp_path):
    return generate(Rod(), tmp_path / "rods.h5", count=96).path


def test_named_inputs_are_kept_in_the_file(rods):
    data = Dataset.open(rods)
    rows = data.rows(range(40, 42))
    assert {name: array.shape[1:] for name, array in data.inputs().items()} == SHAPES
    np.testing.assert_array_equal(rows["inputs/force"], rows["members/force"])
    np.testing.assert_array_equal(rows["number"], [40, 41])
    with pytest.raises(ValueError, match=r"has the inputs .*medium \(8, 8\).* gives ratio \(\)"):
        smaller = family_of({"ratio": 0.3})
        data.settings["problem"] = "Family"
        check_data(data, smaller)


@pytest.mark.parametrize(
    ("name", "row", "value", "sentence"),
    [
        ("values/u", (70, slice(None)), np.nan, "sample 70, of the test part, has no value of u"),
        (
            "values/u",
            (40, 3),
            np.inf,
            "sample 40, of the validation part, has infinite values of u",
        ),
        ("inputs/force", (7, 2), np.nan, "sample 7, of the training part, has an input force that"),
        ("members/ratio", (95,), np.nan, "sample 95, of the test part, has an unknown coefficient"),
        ("error_bar/u", (65,), np.nan, "sample 65, of the test part, has an error bar of u that"),
    ],
)
def test_a_sample_that_only_the_test_reads_is_refused_before_training(
    rods, name, row, value, sentence
):
    def spoil(file):
        file[name][row] = value

    data = altered(rods, spoil)
    with pytest.raises(ValueError, match=sentence):
        po.train(Rod(), data=data, functions=FEW, steps=10**6, progress=False)


def test_a_trajectory_with_a_gap_is_refused_before_training_by_its_number(tmp_path):
    family = load_problem("cape_advection", cells=8, frames=3)
    path = generate(family, tmp_path / "waves.h5", count=96).path

    def spoil(file):
        file["values/u"][71, 2, 1] = np.nan

    data = altered(path, spoil)
    with pytest.raises(
        ValueError, match="sample 71, of the test part, has values of u that are not finite"
    ):
        po.train(family, Direct(FNO(4, 2, 1)), data=data, progress=False)


@pytest.mark.slow
def test_the_loss_of_data_is_the_mean_over_what_is_known(float64):
    """For the loss and for the residual vector of Gauss-Newton alike."""
    family = Rod()
    shapes = {name: np.shape(array) for name, array in family.inputs().items()}
    request = {
        "inputs": {
            "mean": {name: np.zeros(shape).tolist() for name, shape in shapes.items()},
            "deviation": {name: np.ones(shape).tolist() for name, shape in shapes.items()},
        },
        "scale": {"u": 2.0},
        "physics": 0.0,
        "scales": family_scales(family, None),
        "problem": "rod",
        "seed": 0,
        "dtype": "float64",
    }
    model, params = built_operator(family, DeepONet(MeanOf(), MLP(6, 1), 4), request)
    problems = sample_members(family, KEY, range(4))
    x = np.linspace(0.1, 1, 10)[:, None]
    points = {DATA: po.problem.Points(jnp.asarray(x))}
    whole = np.random.default_rng(0).standard_normal((4, 10))
    known = np.random.default_rng(1).random((4, 10)) < 0.4
    fields = [model.field(params, member) for member in unstacked(problems, 4)]
    out = np.stack([np.asarray(jax.vmap(field)(x))[:, 0] for field in fields])
    weights = {"observed u": jnp.ones(1)}
    for there in (known, np.ones_like(known)):
        members = Members(problems, points, {"u": np.where(there, whole, np.nan)})
        wanted = np.mean(((out - whole)[there] / 2.0) ** 2)
        terms = model.terms(params, members, weights)
        np.testing.assert_allclose(terms["observed u"], wanted, rtol=1e-12)
        objective = model.objective(members, weights)
        np.testing.assert_allclose(jnp.sum(objective.residuals(params) ** 2), wanted, rtol=1e-12)
    nothing = Members(problems, points, {"u": np.full((4, 10), np.nan)})
    assert model.terms(params, nothing, weights)["observed u"] == 0.0


# Domains


def test_data_of_another_domain_are_refused(rods):
    class Longer(Rod):
        domain = po.Box(x=(0, 2))

    data = Dataset.open(rods)
    data.settings["problem"] = "Longer"
    with pytest.raises(
        ValueError, match="was made for x from 0 to 1, and the domain of Longer is 0 to 2"
    ):
        check_data(data, Longer())

    def stretch(file):
        file["coordinates/x"][...] *= 3

    with pytest.raises(
        ValueError, match="has a grid of x from 0 to 3, and the domain of Rod is 0 to 1"
    ):
        check_data(altered(rods, stretch), Rod())


def waves_file(folder, name, attributes=(), extent=1.0, end=2.0):
    path = folder / name
    with h5py.File(path, "w") as file:
        x, t = extent * (np.arange(32) + 0.5) / 32, np.linspace(0, end, 11)
        file["tensor"] = np.sin(2 * np.pi * (x - t[:, None]) + np.arange(4)[:, None, None])
        file["x-coordinate"], file["t-coordinate"] = x, t
        file.attrs.update(dict(attributes))
    return path


def test_a_file_of_another_equation_or_domain_is_refused(tmp_path):
    advection = load_problem("cape_advection", cells=16, frames=6)
    burgers = load_problem("cape_burgers", cells=16, frames=6)

    def make(family, file):
        return from_pdebench(family, [file], tmp_path / "made.h5", count=4)

    file = waves_file(tmp_path, "1D_Burgers_Sols_Nu0.1.hdf5")
    with pytest.raises(
        DataFileError, match="has the parameter nu, and cape_advection needs beta, its speed"
    ):
        make(advection, file)
    file = waves_file(tmp_path, "1D_Advection_Sols_beta0.4.hdf5", {"Nu": 0.1})
    with pytest.raises(DataFileError, match="has the parameter nu, and cape_advection needs beta"):
        make(advection, file)
    file = waves_file(tmp_path, "1D_Burgers_Sols_Nu1.0.hdf5", {"Nu": 1.0, "rho": 2.0})
    with pytest.raises(DataFileError, match="has the parameter nu, rho, and cape_burgers needs Nu"):
        make(burgers, file)
    file = waves_file(tmp_path, "1D_Advection_Sols_beta0.7.hdf5", extent=2.0)
    with pytest.raises(
        DataFileError, match="has x from 0.03125 to 1.96875, and the domain of .* is 0 to 1"
    ):
        make(advection, file)
    file = waves_file(tmp_path, "1D_Advection_Sols_beta1.0.hdf5", end=1.0)
    with pytest.raises(DataFileError, match="has t from 0 to 1, and the domain of .* is 0 to 2"):
        make(advection, file)


def test_the_attributes_of_a_file_count_more_than_its_name(tmp_path):
    family = load_problem("cape_advection", cells=16, frames=6)
    file = waves_file(tmp_path, "renamed_beta9.hdf5", {"beta": 0.4})
    made = from_pdebench(family, [file], tmp_path / "made.h5", count=4)
    np.testing.assert_array_equal(made.rows(range(4))["inputs/speed"], 0.4)


# Resolution


@pytest.mark.slow
@pytest.mark.parametrize("padding", [0.125, 0.1])
@pytest.mark.parametrize("points", [64, 50])
def test_padding_is_a_part_of_the_domain_on_every_grid(padding, points, float64):
    """The output at common points agrees between resolutions about as well as without padding."""

    def change(padding):
        network = FNO(8, 4, 2, padding).build(1, 1, (points,), key=KEY)
        out = []
        for times in (1, 4):
            x = np.arange(times * points) / (times * points)
            state = jnp.asarray(x + np.sin(3 * x))[None, :, None]
            out.append(np.asarray(network(state))[0, ::times, 0])
        return np.linalg.norm(out[1] - out[0]) / np.linalg.norm(out[0])

    assert change(padding) < max(2 * change(0.0), 0.03)


@pytest.mark.slow
def test_padding_is_a_fraction():
    for padding in (8, -0.1, True, "some", float("nan")):
        with pytest.raises(ValueError, match="FNO: padding must be a number from 0 to 1, got"):
            FNO(padding=padding)
    assert FNO(4, 2, 1, 0.125).build(1, 1, (64, 32), key=KEY).padding == (0.125, 0.125)
    assert FNO(4, 2, 1, 1e-3).build(1, 1, (64,), key=KEY).padding == (1 / 64,)
