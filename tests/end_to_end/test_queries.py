"""Operators of data alone whose points, or sensors, differ from sample to sample."""

import dataclasses

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops import cli
from pinops.data import DataFileError, as_sensors, family_of, readings
from pinops.networks import (
    MLP,
    Attention,
    Convolutional,
    DeepSet,
    Kriging,
    Product,
    Selected,
    Vectors,
    encoder_for,
)
from pinops.operators import FNO, DeepONet, PODDeepONet, Transolver
from pinops.optimizers import Adam
from pinops.problem import ANY, Sensors, shapes_of
from pinops.solvers._operator_plan import built_operator, family_scales
from pinops.training import Draw, Members, evaluate_at_own, numbers_of, statistics_of

KEY = jax.random.key(0)
SMALL = DeepONet(trunk=MLP(12, 2), branch=MLP(12, 2), latent=8)
SETS = [
    DeepSet(MLP(12, 2), MLP(12, 1), 8),
    Attention(MLP(12, 2), MLP(12, 1), 2, 4),
    Kriging(MLP(12, 2), points=8),
]
QUICK = {"steps": 3, "progress": False}


def own_points(count=12, *, seed=0, sizes=(4, 9)):
    """a sin(x) y + b at points of each sample; a, b are the inputs, as a vector."""
    random = np.random.default_rng(seed)
    ab = random.standard_normal((count, 2)) + [0, 3]
    points = [random.uniform(size=(random.integers(*sizes), 2)) for _ in range(count)]
    u = [a * np.sin(p[:, 0]) * p[:, 1] + b for (a, b), p in zip(ab, points, strict=True)]
    return po.Dataset.from_arrays(inputs={"ab": ab}, outputs={"u": u}, coordinates=points)


def own_sensors(count=12, *, seed=0, points=None, **more):
    """The mean of f plus x, where f is a straight line that is known at random sensors."""
    random = np.random.default_rng(seed)
    at = [random.uniform(size=(random.integers(3, 8), 1)) for _ in range(count)]
    slope, offset = random.standard_normal((2, count)) + [[0], [3]]
    f = [s * x[:, 0] + o for s, o, x in zip(slope, offset, at, strict=True)]
    x = np.linspace(0, 1, 5) if points is None else points
    u = (slope / 2 + offset)[:, None] + x
    given = {"inputs": {"f": f}, "sensors": {"f": at}, "outputs": {"u": u}, "coordinates": {"x": x}}
    return po.Dataset.from_arrays(**given | more)


def both(count=12, seed=0):
    """Own sensors and own points, and a number."""
    random = np.random.default_rng(seed)
    at = [random.uniform(size=(random.integers(3, 8), 1)) for _ in range(count)]
    points = [random.uniform(size=(random.integers(3, 8), 1)) for _ in range(count)]
    return po.Dataset.from_arrays(
        inputs={"f": [np.cos(x[:, 0]) for x in at]},
        sensors={"f": at},
        outputs={"u": [np.stack([p[:, 0], -p[:, 0]], 1) for p in points]},
        coordinates=points,
        parameters={"nu": np.arange(1.0, count + 1)},
    )


# Encoders of sets


@pytest.mark.parametrize("encoder", SETS)
def test_an_encoder_of_a_set_sees_neither_order_nor_filling(encoder, float64):
    built = encoder.build({"f": (ANY, 2, 1)}, 3, key=KEY)
    random = np.random.default_rng(0)
    at, values = random.standard_normal((7, 2)), random.standard_normal((7, 1))
    out = built({"f": Sensors(at, values, np.ones(7))})
    order = random.permutation(7)
    turned = built({"f": Sensors(at[order], values[order], np.ones(7))})
    np.testing.assert_allclose(turned, out, rtol=0, atol=1e-14)
    more = [np.concatenate([a, 50 * np.ones((4, a.shape[1]))]) for a in (at, values)]
    padded = built({"f": Sensors(*more, np.repeat([1.0, 0.0], [7, 4]))})
    np.testing.assert_allclose(padded, out, rtol=0, atol=1e-14)
    other = built({"f": Sensors(at, 2 * values, np.ones(7))})
    assert np.abs(other - out).max() > 1e-3


def test_a_deep_set_is_a_mean_between_two_networks(float64):
    built = SETS[0].build({"f": (ANY, 1, 1)}, 3, key=KEY)
    at, values = jnp.asarray([[0.1], [0.5]]), jnp.asarray([[1.0], [2.0]])
    each = [built.each(jnp.concatenate([x, v])) for x, v in zip(at, values, strict=True)]
    wanted = built.after((each[0] + each[1]) / 2)
    np.testing.assert_allclose(built({"f": Sensors(at, values, np.ones(2))}), wanted, rtol=1e-12)


def test_attention_is_several_weighted_means(float64):
    built = SETS[1].build({"f": (ANY, 1, 1)}, 3, key=KEY)
    at, values = jnp.asarray([[0.1], [0.5], [0.7]]), jnp.asarray([[1.0], [2.0], [-1.0]])
    seen = np.stack([built.each(jnp.concatenate(p)) for p in zip(at, values, strict=True)])
    means = []
    for head in range(2):
        weights = np.exp(seen[:, head]) / np.exp(seen[:, head]).sum()
        means.append(weights @ seen[:, 2 + 4 * head : 6 + 4 * head])
    wanted = built.after(jnp.asarray(np.concatenate(means)))
    np.testing.assert_allclose(built({"f": Sensors(at, values, np.ones(3))}), wanted, rtol=1e-12)


def test_kriging_bears_sensors_that_coincide_in_single_precision():
    random = np.random.default_rng(0)
    once = random.uniform(-1.7, 1.7, size=(100, 1)).astype(np.float32)
    at = np.concatenate([once, once])
    built = Kriging(points=8, length=1.0, noise=1e-8).build({"f": (ANY, 1, 1)}, 3, key=KEY)
    plain = dataclasses.replace(built, network=jnp.ravel)
    values = plain({"f": Sensors(at, np.sin(at), np.ones(200, np.float32))})
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, np.sin(np.ravel(built.points.tree)), atol=2e-3)


def test_kriging_interpolates_smooth_functions_to_the_same_points(float64):
    built = Kriging(points=20, length=1.0, noise=1e-10).build({"f": (ANY, 2, 2)}, 3, key=KEY)
    built = dataclasses.replace(built, network=lambda x: x)

    def waves(at):
        return jnp.stack([jnp.sin(at[:, 0]) * at[:, 1], jnp.cos(at @ jnp.asarray([0.5, 1.0]))], 1)

    at = 1.8 * jax.random.uniform(KEY, (80, 2), minval=-1)
    found = built({"f": Sensors(at, waves(at), jnp.ones(80))}).reshape(20, 2)
    points = built.points.tree
    inside = jnp.max(jnp.abs(points), 1) < 1.5
    assert inside.sum() > 10 and np.abs(points).max() <= 3**0.5
    np.testing.assert_allclose(found[inside], waves(points)[inside], atol=1e-3)
    far = built({"f": Sensors(at + 100, waves(at), jnp.ones(80))})
    np.testing.assert_allclose(far, 0, atol=1e-12)


def test_the_default_encoder_of_own_sensors():
    assert encoder_for(None, {"f": (ANY, 1, 1)}) == Kriging()
    shapes = {"f": (ANY, 1, 1), "g": (ANY, 2, 1), "k": (), "m": (), "v": (3,)}
    encoder = encoder_for(None, shapes)
    assert isinstance(encoder, Product)
    built = encoder.build(shapes, 2, key=KEY)
    assert [e.names for e in built.encoders] == [("f",), ("g",), ("k", "m"), ("v",)]


@pytest.mark.parametrize(
    ("encoder", "shapes", "said"),
    [
        (Vectors(), {"f": (ANY, 1, 1)}, "sensors that differ from sample to sample, which Modif"),
        (Convolutional(), {"f": (ANY, 1, 1)}, "the input f is at sensors of its own, not an image"),
        (DeepSet(), {"f": (9,)}, r"takes one input at sensors of its own, got f \(9,\)"),
        (Kriging(), {"f": (ANY, 2, 1), "g": (ANY, 2, 1)}, "takes one input at sensors of its own"),
        (Attention(), {"f": (ANY, 1, 1), "k": ()}, r"got f at sensors \(1 \+ 1\), k \(\)"),
    ],
)
def test_encoders_refuse_what_they_do_not_see(encoder, shapes, said):
    with pytest.raises(ValueError, match=said):
        encoder.build(shapes, 3, key=KEY)


# Data


def test_functions_at_own_sensors_are_filled_up():
    data = own_sensors()
    assert data.layout.sensors == {"f": 1} and data.layout.parameters == ()
    one, some = data.rows([3])["inputs/f"], data.rows([5, 3], alike=True)["inputs/f"]
    assert some.at.shape == (2, data.longest["inputs/f"], 1)
    count = one.at.shape[1]
    assert one.present.all() and some.present[1].sum() == count
    np.testing.assert_array_equal(some.at[1, :count], one.at[0])
    np.testing.assert_array_equal(some.values[1, :count], one.values[0])
    assert not some.values[1, count:].any()
    assert shapes_of(family_of(data).given) == {"f": (ANY, 1, 1)}


def test_statistics_are_those_of_the_sensors_that_are_there(float64):
    rows, dimensions = readings("f", [[1.0, 3.0], [5.0]], [[0.0, 1.0], [2.0]], "here")
    sensors = as_sensors(rows, dimensions, 4)
    found = statistics_of({"f": sensors})
    assert found["mean"]["f"] == {"at": [1.0], "values": [3.0]}
    np.testing.assert_allclose(found["deviation"]["f"]["values"], [np.std([1, 3, 5])], rtol=1e-5)
    mean, deviation = numbers_of(found, "mean")["f"], numbers_of(found, "deviation")["f"]
    assert (mean.present, deviation.present) == (0, 1) and mean.values.shape == (1, 1)


@pytest.mark.parametrize("make", [own_points, own_sensors, both])
def test_a_file_gives_the_same_samples(make, tmp_path):
    data = make(40)
    again = po.Dataset.open(data.save(tmp_path / "mine.h5"))
    assert again.layout == data.layout and again.longest == data.longest
    for chosen in ([9, 2, 39], [0]):
        before, after = (jax.tree.leaves(d.rows(chosen)) for d in (data, again))
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)
    joined = data.take([3]) + again.take([1, 2])
    for one, other in zip(
        jax.tree.leaves(joined.rows([1, 0])), jax.tree.leaves(data.rows([1, 3])), strict=True
    ):
        if np.shape(one) == np.shape(other) and one.dtype != np.int64:
            np.testing.assert_array_equal(one, other)


def test_a_damaged_file_of_sensors_is_one_sentence(tmp_path):
    path = own_sensors(40).save(tmp_path / "mine.h5")
    with h5py.File(path, "r+") as file:
        del file["offsets/sensors_f"]
    with pytest.raises(DataFileError, match="the offsets of its inputs/f are missing"):
        po.Dataset.open(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sensors": {"g": [[0.0]] * 12}}, "sensors names g, which is not an input; the .* f"),
        ({"sensors": {"f": [[0.0]] * 3}}, "has 12 samples, and sensors.* has 3; give one array"),
        ({"sensors": {"f": [[0.0]] * 12}}, "f of sample 0 has . values at 1 sensors; give as many"),
        ({"sensors": {"f": 3.0}}, "must be a list of arrays, one for each sample"),
        ({"inputs": {"f": [[1.0]] * 12}, "sensors": {"f": [[np.nan]] * 12}}, "not finite"),
        ({"inputs": {"f": [[]] * 12}, "sensors": {"f": [[0.0]] * 12}}, "a row for each sensor"),
        (
            {"inputs": {"f": [[1.0]] * 12}, "sensors": {"f": [np.zeros((1, 4))] * 12}},
            "has 4 coordinates; give .k, d., with d from 1 to 3",
        ),
        ({"inputs": {"f": [["a"]] * 12}, "sensors": {"f": [[0.0]] * 12}}, "holds <U1; give num"),
        (
            {"sensors": None},
            "is a list of arrays of different shapes; .* sensors=.name: .positions",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(change, said):
    with pytest.raises(ValueError, match=said) as caught:
        own_sensors(**change)
    assert "\n" not in str(caught.value)


def test_a_value_that_is_not_finite_names_its_sample():
    f = [[1.0, np.nan if k == 3 else 0.0] for k in range(12)]
    data = own_sensors(inputs={"f": f}, sensors={"f": [[0.0, 1.0]] * 12})
    with pytest.raises(ValueError, match="sample 3, .* has an input f that is not finite"):
        po.train(data, DeepONet(SETS[0]), **QUICK)


# The loss


def model_of(data, architecture):
    family = family_of(data)
    request = {
        "inputs": statistics_of(data.inputs()),
        "scale": data.scale,
        "physics": 0.0,
        "scales": family_scales(family, data),
        "problem": "data",
        "seed": 0,
        "dtype": "float64",
    }
    return family, *built_operator(family, architecture, request)


def test_the_loss_is_the_mean_over_the_points_of_all_samples(float64):
    data = own_points()
    family, model, params = model_of(data, SMALL)
    draw = Draw(po.Functions(pool=9, batch=9, data_points=None), data)
    members = draw.drawn(model, params, KEY, None)
    rows = data.drawn(jax.random.split(KEY)[1], 9)
    squares = []
    for k in range(9):
        count = rows["present"][k].sum()
        member = dataclasses.replace(family, given={"ab": rows["inputs/ab"][k]})
        out = jax.vmap(model.field(params, member))(jnp.asarray(rows["points"][k, :count]))
        squares += list(((out[:, 0] - rows["values/u"][k, :count]) / data.scale["u"]) ** 2)
    terms = model.terms(params, members, {"observed u": jnp.ones(1)})
    np.testing.assert_allclose(terms["observed u"], np.mean(squares), rtol=1e-10)
    value, _ = model.objective(members, {"observed u": jnp.ones(1)})(params)
    np.testing.assert_allclose(value, np.mean(squares), rtol=1e-10)


def test_a_step_takes_points_that_are_there(float64):
    data = own_points(sizes=(3, 12))
    _, model, params = model_of(data, SMALL)
    draw = Draw(po.Functions(pool=8, batch=4, data_points=3), data)
    assert draw.stochastic
    members = draw.drawn(model, params, KEY, None)
    some, _ = draw.sampled(model, members, {}, KEY)
    assert some.own.shape == (4, 3, 2) and np.isfinite(some.values["u"]).all()
    a, b = np.asarray(some.problems.given["ab"]).T[..., None]
    truth = a * np.sin(some.own[..., 0]) * some.own[..., 1] + b
    np.testing.assert_allclose(some.values["u"], truth, rtol=1e-12)
    shapes = [np.shape(draw.drawn(model, params, jax.random.key(k), None).own) for k in range(3)]
    assert len(set(shapes)) == 1


def test_filling_up_changes_neither_loss_nor_answer(float64):
    data = both()
    family, model, params = model_of(data, DeepONet(Product(), MLP(8, 1), 4))
    k = int(np.argmin(data.rows(range(12))["present"].sum(1)))
    short, long = data.rows([k]), data.rows([k], alike=True)
    losses, ones = [], {f"observed u{k}": jnp.ones(1) for k in range(2)}
    for rows in (short, long):
        given = {name: rows[f"inputs/{name}"] for name in ("f", "nu")}
        problems = dataclasses.replace(family, given=given)
        values = {name: rows[f"values/{name}"] for name in ("u0", "u1")}
        members = Members(problems, {}, values, rows["points"])
        losses.append(model.terms(params, members, ones))
        out = evaluate_at_own(model, params, problems, [short["points"][0]])[0]
        losses[-1]["out"] = out
    assert short["points"].shape != long["points"].shape
    for name in losses[0]:
        np.testing.assert_allclose(losses[0][name], losses[1][name], rtol=1e-12)


# Training


def test_own_points_are_learned():
    train, test = own_points(100, sizes=(10, 30)).split(test=20)
    trained = po.train(train, SMALL, optimizer=Adam(1e-2, 500), steps=500, progress=False)
    assert trained.error(test)["u"]["mean"] < 0.05
    inputs = {"ab": np.asarray([[1.0, 3.0], [0.0, 2.0]])}
    at = [np.asarray([[0.5, 0.5]]), np.asarray([[0.1, 0.9], [0.3, 0.2], [0.9, 0.9]])]
    first, second = trained(inputs, at)
    assert first.shape == (1,) and second.shape == (3,)
    np.testing.assert_allclose(trained(inputs, at[1])[1], second, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(trained(inputs, x=0.5, y=0.5)[0], first[0], rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def learned():
    train, test = own_sensors(200).split(test=20)
    operator = DeepONet(SETS[1], MLP(12, 2), 8)
    optimizer = Adam(1e-2, 500)
    return po.train(train, operator, optimizer=optimizer, steps=500, progress=False), test


def test_own_sensors_are_learned(learned):
    trained, test = learned
    assert trained.error(test)["u"]["mean"] < 0.1
    f, at = [[3.0, 3.0], [2.0, 3.0, 4.0]], [[0.2, 0.8], [0.0, 0.5, 1.0]]
    out = trained(f, [[0.0], [1.0]], sensors={"f": at})
    turned = trained(f[::-1], [[0.0], [1.0]], sensors={"f": at[::-1]})
    np.testing.assert_allclose(turned[::-1], out, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out, [[3, 4], [3, 4]], atol=0.8)


def test_a_run_is_kept_loaded_and_goes_on(tmp_path):
    """Own points, own sensors and a number, bit for bit."""
    data = both(20)
    branch = Product((Selected(("f",), SETS[1]), Selected(("nu",), MLP(4, 1))))
    architecture = DeepONet(branch, MLP(8, 1), 4)
    request = {"functions": po.Functions(pool=8, batch=4, data_points=3), "dtype": "float64"}

    def trained(**more):
        return po.train(
            data,
            architecture,
            optimizer=po.optimizers.Adam(1e-3),
            progress=False,
            **request,
            **more,
        )

    whole = trained(steps=6)
    trained(steps=3, out=tmp_path / "run")
    after = trained(steps=6, out=tmp_path / "run", resume=True)
    for one, other in zip(*(jax.tree.leaves(t.params) for t in (whole, after)), strict=True):
        np.testing.assert_array_equal(one, other)
    again = po.load(tmp_path / "run")
    assert again.error(data) == after.error(data) == whole.error(data)
    assert again.family.to_json() == after.family.to_json()
    again.plot(tmp_path / "figure.png", data=data)
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_the_command_line_trains_and_scores(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own_sensors(30).save(tmp_path / "mine.h5")
    operator = "DeepONet(DeepSet(MLP(8, 1), MLP(8, 1), 4), MLP(8, 1), 4)"
    arguments = ["train", "--data", "mine.h5", "--operator", operator, "--steps", "3"]
    assert cli.run([*arguments, "--out", "run"]) == 0
    assert cli.run(["evaluate", "run", "--data", "mine.h5"]) == 0
    assert "relative" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("make", "architecture", "said"),
    [
        (own_points, PODDeepONet(MLP(4, 1), 2, 2), "has points that differ from sample to sample"),
        (own_sensors, PODDeepONet(latent=2, degrees=2), "PODDeepONet: the input f has sensors"),
        (own_sensors, FNO(4, 2), "which FNO does not take; train a DeepONet"),
        (both, Transolver(), "the input f at sensors that differ .* which Transolver does not"),
    ],
)
def test_who_cannot_learn_them_says_so(make, architecture, said):
    with pytest.raises(ValueError, match=said) as caught:
        po.train(make(), architecture, **QUICK)
    assert "\n" not in str(caught.value)


def test_an_input_at_the_points_is_given_with_sensors():
    points = [np.random.default_rng(k).uniform(size=(5 + k % 2, 2)) for k in range(12)]
    a = [p[:, 0] for p in points]
    given = {"inputs": {"a": a}, "outputs": {"u": a}, "coordinates": points}
    with pytest.raises(ValueError, match=r"input a at the points .* sensors=.'a': points. with"):
        po.train(po.Dataset.from_arrays(**given), DeepONet(), **QUICK)
    data = po.Dataset.from_arrays(**given, sensors={"a": points})
    assert shapes_of(family_of(data).given) == {"a": (ANY, 2, 1)}


@pytest.mark.parametrize(
    ("points", "sensors", "said"),
    [
        ([[0.0]], None, "sensors must be given for f, as in the data, got none"),
        ([[0.0]], {"f": [[0.1, 0.2]] * 2, "g": []}, "for f, as in the data, got f, g"),
        ([[0.0, 1.0]], {"f": [[0.1]] * 2}, r"points must be finite numbers \(l, 1\), .* \(1, 2\)"),
        ([[[0.0]]] * 3, {"f": [[0.1]] * 2}, "points of 3 samples, and inputs of 2"),
        ([[0.0]], {"f": [[[0.1, 0.2]]] * 2}, r"got the arrays f at sensors \(2 \+ 1\)"),
    ],
)
def test_wrong_questions_are_one_sentence(points, sensors, said, learned):
    trained, _ = learned
    with pytest.raises(ValueError, match=said) as caught:
        trained([[1.0], [2.0]], points, sensors=sensors)
    assert "\n" not in str(caught.value)


# Several input functions


def test_several_functions_from_arrays():
    """u = product of the means of three functions times cos x (MIONet)."""
    random = np.random.default_rng(0)
    x = np.linspace(0, 1, 8)
    inputs = {n: 1 + 0.2 * random.standard_normal((300, 1)) * np.arange(6) / 5 for n in "fgh"}
    u = np.prod([f.mean(1) for f in inputs.values()], 0)[:, None] * np.cos(x)
    data = po.Dataset.from_arrays(inputs=inputs, outputs={"u": u}, coordinates={"x": x})
    train, test = data.split(test=30)
    branch = Product(tuple(Selected((name,), MLP(8, 1)) for name in "fgh"))
    trained = po.train(
        train, DeepONet(branch, MLP(8, 1), 4), optimizer=Adam(1e-2, 500), steps=500, progress=False
    )
    assert trained.error(test)["u"]["mean"] < 0.03
