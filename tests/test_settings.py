"""Settings: every one of everything shipped takes a value or refuses it in one sentence, before
anything is allocated.
"""

import dataclasses
import inspect
import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops import (
    derivatives,
    functions,
    losses,
    networks,
    operators,
    optimizers,
    problem,
    sampling,
    training,
)
from pinops.networks import (
    MLP,
    SIREN,
    Architecture,
    Convolutional,
    EncoderArchitecture,
    FourierFeatures,
)
from pinops.operators import (
    CAPE,
    FNO,
    GridArchitecture,
    OperatorArchitecture,
    SurrogateArchitecture,
)
from pinops.optimizers import Adam, GaussNewton, Only, Optimizer, SSBroyden
from pinops.settings import (
    check_fits,
    check_settings,
    describe_settings,
    flag,
    from_description,
    number,
    numbers_in,
    one_of,
    parsed,
    rule_of,
    shape_of,
    share_of_memory,
    whole,
)
from pinops.settings._written import _is_abstract
from pinops.solvers import allowed
from pinops.solvers._request import describe
from pinops.training import check_functions_fit, check_network_fits, check_points_fit

ROOMS = (
    networks,
    operators,
    optimizers,
    losses,
    sampling,
    derivatives,
    functions,
    problem,
    training,
)
SHIPPED = sorted(
    {
        cls
        for room in ROOMS
        for _, cls in inspect.getmembers(room, inspect.isclass)
        if dataclasses.is_dataclass(cls) and not _is_abstract(cls)
        if any(rule_of(field) for field in dataclasses.fields(cls))
    },
    key=lambda cls: cls.__name__,
)
GIVEN = {
    "Stacked": {"network": MLP(4, 1)},
    "Decomposed": {"network": MLP(4, 1), "parts": {"x": 2}},
    "Selected": {"names": ("a",)},
    "Direct": {"network": FNO(4, 2)},
    "MorphedGrid": {"network": FNO(4, 2)},
    "RandomGas": {"dimensions": 1, "heat_ratio": 1.4},
    "RandomLinearProblems": {"pool": functions.Pool(np.zeros((1, 10, 7)), 1.0)},
    "TimeWindows": {"count": 2},
    "Phase": {"optimizer": Adam(), "steps": 1},
    "Continuation": {"a": (1.0, 2.0)},
    "Only": {"optimizer": Adam(), "where": lambda params: params},
    "Averaged": {"optimizer": Adam()},
    "Accumulated": {"optimizer": Adam()},
    "JSONLines": {"path": "log.jsonl"},
    "TensorBoard": {"folder": "logs"},
}
# They have an ``__init__`` of their own, of which the run-time type checker of the tests speaks
# first.
OWN_INIT = ("Continuation", "Only")
WRONG = [
    0,
    -1,
    2.5,
    float("nan"),
    float("inf"),
    "abc",
    None,
    True,
    [1],
    1e300,
    99999999999999999999,
    10**400,
    1j,
    np.int64(3),
    np.float32("nan"),
    np.zeros(2),
    {"a": {}},
]


@pytest.mark.parametrize("steps", [0, -1, 99999999999999999999])
def test_a_continuation_has_bounds_too(steps):
    with pytest.raises(ValueError, match="Continuation: steps must be a whole number from 1 to"):
        po.Continuation(steps, a=(1.0, 2.0))
    with pytest.raises(ValueError, match=r"Continuation: coefficients\['a'\] must be .*nan"):
        po.Continuation(5, a=(1.0, float("nan")))


def test_the_list_of_settings_is_that_of_the_rooms():
    names = {cls.__name__ for cls in SHIPPED}
    assert {"MLP", "PIG", "CAPE", "UNet", "SOAP", "LBFGS", "Causal", "RAD", "STDE"} <= names
    assert {"Collocation", "Functions", "Curriculum", "TimeWindows", "Continuation"} <= names
    for cls in SHIPPED:
        for field in dataclasses.fields(cls):
            known = rule_of(field) or not field.init or field.name == "optimizer"
            assert known, f"{cls.__name__}.{field.name} has no rule"


def of(architecture, *sizes):
    """From a key to a network."""
    return lambda key: architecture.build(*sizes, key=key)


def built(architecture):
    """Its shapes, or a ValueError for a size that does not fit."""
    images = isinstance(architecture, Convolutional)
    shape = (32, 32, 1) if images else (4,)
    kinds = {
        Architecture: (2, 1),
        EncoderArchitecture: ({"a": shape}, 1),
        OperatorArchitecture: ({"a": np.zeros(shape)}, {"a": np.ones(shape)}, 2, 1),
        GridArchitecture: (1, 1, (32,)),
        SurrogateArchitecture: (1, 1, (32,)),
    }
    for kind, sizes in kinds.items():
        if isinstance(architecture, kind):
            check_network_fits(architecture, of(architecture, *sizes), [Adam()])
    if isinstance(architecture, Optimizer) and not isinstance(architecture, Only):
        shape_of(lambda: architecture.init({"w": jnp.zeros((3, 2))}))


@pytest.mark.parametrize("cls", SHIPPED, ids=lambda cls: cls.__name__)
def test_a_value_is_taken_or_refused_in_one_sentence(cls):
    given = GIVEN.get(cls.__name__, {})
    for field in dataclasses.fields(cls):
        if not field.init or rule_of(field) is None or cls.__name__ in OWN_INIT:
            continue
        for value in WRONG:
            try:
                made = make(cls, given | {field.name: value})
                built(made)
            except ValueError as error:
                text = str(error)
                assert "\n" not in text and len(text) < 400, text
                assert text.startswith((cls.__name__, "the training of ", "Spectral: ")), text


def make(cls, settings):
    if cls.__name__ == "Continuation":
        return cls(settings.pop("steps", 10), **settings)
    return cls(**settings)


class Thing(eqx.Module):
    count: int = whole(20, least=2, most=100)
    rate: float = number(0.5, above=0, most=1)
    leaf: float = number(1.0, least=0, static=False)
    kind: str = one_of("a", ("a", "b"))
    on: bool = flag(True)
    maybe: int | None = whole(None, optional=True)

    def __check_init__(self):
        check_settings(self)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"count": 2.5}, "Thing: count must be a whole number from 2 to 100, got 2.5"),
        ({"count": True}, "Thing: count must be a whole number from 2 to 100, got True"),
        ({"rate": 0}, "Thing: rate must be a finite number greater than 0 and of at most 1, got 0"),
        ({"leaf": "x"}, "Thing: leaf must be a finite number of at least 0, got 'x'"),
        ({"kind": "c"}, "Thing: kind must be one of a, b, got 'c'"),
        ({"on": 1}, "Thing: on must be True or False, got 1"),
        ({"maybe": 0}, "Thing: maybe must be a whole number from 1 to 1000000, or None, got 0"),
    ],
)
def test_the_sentence_names_owner_setting_rule_and_value(settings, sentence):
    with pytest.raises(ValueError) as error:
        Thing(**settings)
    assert str(error.value) == sentence


def test_scalars_of_numpy_and_jax_are_numbers():
    thing = Thing(count=np.int64(5), rate=jnp.asarray(0.25), on=np.bool_(False))
    assert thing == Thing(5, 0.25, on=False)
    assert type(thing.count) is int and type(thing.rate) is float
    assert type(Thing(rate=1).rate) is float


def test_traced_leaves_are_left_alone():
    made = jax.jit(lambda x: Thing(leaf=x).leaf * 2)(jnp.asarray(-3.0))
    assert made == -6.0
    array = jnp.asarray(2.0)
    assert Thing(leaf=array).leaf is array, "nothing compiles again when its value changes"


def test_what_no_memory_holds_is_refused_with_its_size():
    huge = MLP(width=100_000)
    build = of(huge, 2, 1)
    with pytest.raises(ValueError, match=r"MLP\(width=100000\) has 2.0e\+10 parameters, .* GB"):
        check_network_fits(huge, build)
    with pytest.raises(ValueError, match=r"has 2.0e\+10 parameters, 160 GB, and this machine has"):
        po.solve("burgers", network=huge, progress=False)
    small = MLP(150)
    build = of(small, 2, 1)
    check_network_fits(small, build, [Adam(), GaussNewton(), po.optimizers.SOAP()], 1000)
    with pytest.raises(ValueError, match=r"SSBroyden keeps a matrix of 45901 x 45901"):
        check_network_fits(small, build, [SSBroyden()])
    with pytest.raises(
        ValueError, match=r"the training of MLP\(width=150\) by GaussNewton\(\) has"
    ):
        check_network_fits(small, build, [GaussNewton()], 10**8)
    with pytest.raises(ValueError, match="choose fewer points"):
        check_points_fit(po.Collocation(interior=10**9), po.load_problem("burgers"))
    with pytest.raises(ValueError, match="choose a smaller pool"):
        check_functions_fit(po.Functions(pool=10**9), po.load_problem("burgers_family"))
    with pytest.raises(ValueError, match="more than any array can hold"):
        spectral = networks.Spectral(10_000)
        check_network_fits(spectral, of(spectral, 30, 1))
    with pytest.raises(ValueError, match=r"This has 1.0e\+15 numbers, 4e\+06 GB"):
        check_fits("This", 10**15, np.float32)


def test_numbers_are_counted_without_computing():
    shapes = shape_of(lambda: MLP(20, 3).build(2, 1, key=jax.random.key(0)))
    assert numbers_in(shapes) == 2 * 20 + 20 + 2 * (20 * 20 + 20) + 20 + 1


NETWORK = "a network such as MLP(20, 3)"
OPERATORS = (Architecture, Convolutional, OperatorArchitecture, SurrogateArchitecture)


def network(text):
    return parsed(text, allowed(Architecture), kind=Architecture, what=NETWORK)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("MLP", MLP()),
        (" MLP( 20, depth = 2, activation=sin) ", MLP(20, 2, jnp.sin)),
        ("SIREN(frequency=1e1)", SIREN(frequency=10.0)),
        ("FourierFeatures(SIREN(10), (1, 2.5))", FourierFeatures(SIREN(10), (1.0, 2.5))),
        ("PIG(head=none, moving=False)", networks.PIG(head="none", moving=False)),
        ("WeightFactorised(mean=-1)", networks.WeightFactorised(mean=-1.0)),
    ],
)
def test_objects_are_read_as_python_writes_them(text, meant):
    assert network(text) == meant


def test_operators_optimizers_weightings_and_points_are_read_too():
    kinds = (*OPERATORS, GridArchitecture)
    read = parsed(
        "CAPE(FNO(20, 12), width=64)", allowed(*kinds), kind=SurrogateArchitecture, what="one"
    )
    assert read == CAPE(FNO(20, 12), width=64)
    read = parsed("SOAP(1e-3, every=5)", allowed(Optimizer), kind=Optimizer, what="one")
    assert read == po.optimizers.SOAP(1e-3, every=5)
    weightings = allowed(losses.Weighting)
    text = "Causal(bins=16, terms=Fixed({'initial u': 10}))"
    read = parsed(text, weightings, kind=losses.Weighting, what="one")
    assert read == losses.Causal(bins=16, terms=losses.Fixed({"initial u": 10.0}))
    points = allowed(po.Collocation, sampling.Sampler, sampling.Refinement, po.STDE)
    read = parsed("Collocation(512, sampler=Halton)", points, kind=po.Collocation, what="one")
    assert read == po.Collocation(512, sampler=sampling.Halton())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("MPL(3)", "there is no 'MPL'; did you mean MLP?"),
        ("MLP(widht=3)", "MLP has no setting 'widht'; its settings are width, depth, activation"),
        ("MLP(2.5)", "MLP: width must be a whole number from 1 to 100000, got 2.5"),
        ("MLP(1, width=2)", "MLP: width is given twice"),
        ("MLP(1, 2, tanh, 4)", "MLP takes at most 3 settings"),
        ("MLP(activation=tahn)", "there is no 'tahn'; did you mean tanh?"),
        ("MLP(activation=MLP)", "there is no 'MLP'"),
        ("WeightFactorised(3)", "network must be an architecture such as MLP(20, 2), got 3"),
        ("Stacked", "Stacked needs network, an architecture such as"),
        ("3", "'3' is not a network such as MLP(20, 3)"),
        ("", "cannot be read"),
        ("MLP(", "cannot be read"),
        ("MLP(\0)", "cannot be read"),
        ("import os", "cannot be read"),
        ("__import__('os')", "there is no '__import__'"),
        ("MLP(__import__('os').system('true'))", "is not the name of an object"),
        ("(lambda: 0)()", "is not the name of an object"),
        ("MLP(lambda: 0)", "is not a number, a name, a tuple or a call"),
        ("MLP(10**10**10)", "is not a number, a name, a tuple or a call"),
        ("MLP(f'{1}')", "is not a number, a name, a tuple or a call"),
        ("MLP([x for x in (1,)])", "is not a number, a name, a tuple or a call"),
        ("MLP(width:=3)", "is not a number, a name, a tuple or a call"),
        ("MLP(1j)", "is not a number, a name, a tuple or a call"),
        ("MLP(b'1')", "is not a number, a name, a tuple or a call"),
        ("MLP(*[1])", "is not a number, a name, a tuple or a call"),
        ("MLP(**{})", "MLP has no setting '**'"),
        ("MLP.build", "is not a network"),
        ("MLP().build", "is not a network"),
        ("MLP(activation=jnp.tanh)", "jnp.tanh is not a number, a name, a tuple or a call"),
        ("MLP(activation=activation.__globals__)", "is not a number, a name, a tuple or a call"),
        ("FourierFeatures(" * 60 + ")" * 60, "nested more than 12 deep"),
        ("(" * 900, "cannot be read"),
        ("MLP(" + "-" * 1500 + "1)", "is not a number"),
        ("MLP(" + "9" * 1500 + ")", "width must be a whole number"),
        ("MLP(" + "1," * 5000 + ")", "is longer than 2000 characters"),
        ("FromLinen(3)", "there is no 'FromLinen'"),
        ("MLP(1 if 1else 2)", "is not a number, a name, a tuple or a call"),
    ],
)
def test_a_text_that_means_nothing_is_refused_in_one_sentence(text, sentence):
    with pytest.raises(ValueError) as error:
        network(text)
    assert sentence in str(error.value) and "\n" not in str(error.value)
    assert len(str(error.value)) < 300


# They hold functions or objects of other libraries, which no text describes.
PYTHON_ONLY = ("Only", "Optax", "FromLinen", "FromNNX")
EVERYTHING = (*OPERATORS, GridArchitecture, Optimizer, losses.Weighting, sampling.Sampler)
EVERYTHING = (*EVERYTHING, sampling.Refinement, po.Collocation, po.Functions, po.Curriculum)


@pytest.mark.parametrize(
    "cls",
    [cls for cls in SHIPPED if issubclass(cls, EVERYTHING) and cls.__name__ not in PYTHON_ONLY],
    ids=lambda cls: cls.__name__,
)
def test_a_description_is_read_as_the_object_that_it_describes(cls):
    thing = make(cls, dict(GIVEN.get(cls.__name__, {})))
    names = allowed(*EVERYTHING, po.STDE)
    assert from_description(json.loads(json.dumps(describe(thing))), names) == thing


@pytest.mark.parametrize(
    ("description", "sentence"),
    [
        ({"MPL": {}}, "there is no 'MPL'; did you mean MLP?"),
        ({"MLP": {"widht": 3}}, "MLP has no setting 'widht'"),
        ({"MLP": {"width": "3"}}, "MLP: width must be a whole number"),
        ({"MLP": {"width": None}}, "MLP: width must be a whole number"),
        ({"MLP": {"activation": "os.system"}}, "there is no 'os.system'"),
        ({"MLP": {"activation": 3}}, "there is no '3'"),
        ({"MLP": []}, "the settings of MLP must be a table, got []"),
        ({"MLP": {}, "SIREN": {}}, "does not describe an object"),
        ([], "does not describe an object"),
        (None, "does not describe an object"),
        ({"Stacked": {"network": {"MLP": {"width": -1}}}}, "MLP: width must be"),
        ({"Stacked": {"network": 3}}, "network must be an architecture"),
        ({"Stacked": {}}, "Stacked needs network"),
        ({"Fixed": {"every": 3}}, "Fixed: every is always 0, got 3"),
        ({"PIG": {"head": {"MLP": {}}}}, "PIG: head must be one of"),
    ],
)
def test_a_description_that_means_nothing_is_refused_in_one_sentence(description, sentence):
    with pytest.raises(ValueError) as error:
        from_description(description, allowed(*EVERYTHING))
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_deep_descriptions_are_refused():
    description = {"MLP": {}}
    for _ in range(500):
        description = {"Stacked": {"network": description}}
    with pytest.raises(ValueError, match="nested more than 12 deep"):
        from_description(description, allowed(Architecture))
    items = 1
    for _ in range(500):
        items = [items]
    with pytest.raises(ValueError, match="Spectral: degrees must be"):
        from_description({"Spectral": {"degrees": items}}, allowed(Architecture))


def test_help_texts_tell_the_bounds():
    lines = describe_settings(MLP)
    assert lines["width"] == "a whole number from 1 to 100000 (20)"
    assert lines["activation"] == "a function such as jnp.tanh (tanh)"
    assert describe_settings(CAPE)["residual"] == "one of add, multiply ('add')"
    assert (
        describe_settings(po.TimeWindows)["count"]
        == "a whole number from 2 to 10000, or None (None)"
    )
    for cls in SHIPPED:
        assert all(len(line) < 200 for line in describe_settings(cls).values())


@pytest.mark.parametrize("ends", [("0", "1"), (0, 10**400), (0, True), (0, 1j), 3, None])
def test_the_ends_of_a_domain_are_numbers(ends):
    said = r"Box: x must be a pair of numbers \(low, high\), got|Box: x: complex numbers are not"
    with pytest.raises(ValueError, match=said):
        po.Box(x=ends)


def test_steps_and_problems_have_bounds():
    for steps in (0, 2.5, True, 99999999999999999999):
        with pytest.raises(ValueError, match="steps must be a whole number from 1 to 100000000"):
            po.solve("burgers", steps=steps, progress=False)
        with pytest.raises(ValueError, match="steps must be a whole number from 1 to 100000000"):
            po.Phase(Adam(), steps)
    with pytest.raises(ValueError, match="dimension must be a whole number from 1 to 10000"):
        po.load_problem("poisson_nd", dimension=99999999999999999999)


def test_a_share_of_memory_follows_the_limit_of_the_address_space(monkeypatch):
    resource = pytest.importorskip("resource")
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 800_000_000
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    assert 80_000_000 < share_of_memory(2**40) < 101_000_000
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY,) * 2)
    assert share_of_memory(1000) == 1000 and share_of_memory(2**60) > 10**8
