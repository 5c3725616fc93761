"""Sums of products as formulas, in one of two notations: LaTeX, and MathML for pages."""

import abc
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from pinops.derivatives import Coordinate, Laplacian, Names, Partial, parse_name
from pinops.problem._algebra import Atom, Function, Sum, Symbol, Term, total

GREEK = (
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda", "mu",
    "nu", "xi", "pi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega", "Gamma", "Delta",
    "Theta", "Lambda", "Xi", "Sigma", "Phi", "Psi", "Omega",
)  # fmt: skip
BUILT_IN = ("cos", "cosh", "exp", "log", "max", "min", "sin", "sinh", "tan", "tanh")  # of LaTeX
WRITTEN = {"acos": "arccos", "asin": "arcsin", "atan": "arctan"}  # functions by another name
LARGEST = 100  # denominator of a number that is shown as a fraction
EXACT = 1e-12  # relative, of a number that is shown as a fraction


class Notation(abc.ABC):
    """How the parts of a formula are put together; each method gives the text of one."""

    @abc.abstractmethod
    def number(self, text: str) -> str:
        """Digits."""

    @abc.abstractmethod
    def name(self, text: str) -> str:
        """A name: a letter, a Greek one, or a word."""

    @abc.abstractmethod
    def below(self, base: str, parts: Sequence[str]) -> str:
        """A subscript."""

    @abc.abstractmethod
    def power(self, base: str, exponent: str) -> str:
        """A superscript."""

    @abc.abstractmethod
    def root(self, inside: str) -> str:
        """A square root."""

    @abc.abstractmethod
    def fraction(self, above: str, below: str) -> str:
        """A fraction."""

    @abc.abstractmethod
    def product(self, parts: Sequence[str]) -> str:
        """Factors, one beside the other."""

    @abc.abstractmethod
    def sum(self, parts: Iterable[tuple[str, str]]) -> str:
        """Terms with their signs."""

    @abc.abstractmethod
    def scientific(self, mantissa: str, exponent: int) -> str:
        """A number with a power of ten; the mantissa may be empty."""

    @abc.abstractmethod
    def fenced(self, left: str, inside: Sequence[str], right: str) -> str:
        """Something between parentheses or bars, separated by commas."""

    @abc.abstractmethod
    def function(self, name: str) -> str:
        """The name of a function, which stands before its arguments."""

    @abc.abstractmethod
    def equations(self, sides: Sequence[str]) -> str:
        """What vanishes: one equation, or several below each other."""


class Latex(Notation):
    """LaTeX, without dollars."""

    def number(self, text: str) -> str:
        return text

    def name(self, text: str) -> str:
        if text in GREEK:
            return rf"\{text}"
        escaped = text.replace("_", r"\_")
        return text if len(text) == 1 else rf"\mathrm{{{escaped}}}"

    def below(self, base: str, parts: Sequence[str]) -> str:
        return f"{base}_{{{''.join(parts)}}}"

    def power(self, base: str, exponent: str) -> str:
        return f"{base}^{{{exponent}}}"

    def root(self, inside: str) -> str:
        return rf"\sqrt{{{inside}}}"

    def fraction(self, above: str, below: str) -> str:
        return rf"\frac{{{above}}}{{{below}}}"

    def product(self, parts: Sequence[str]) -> str:
        return r"\,".join(parts)

    def sum(self, parts: Iterable[tuple[str, str]]) -> str:
        text = "".join(f" {sign} {part}" for sign, part in parts)
        return text[3:] if text.startswith(" + ") else f"-{text[3:]}"

    def scientific(self, mantissa: str, exponent: int) -> str:
        factor = rf"{mantissa} \cdot " if mantissa else ""
        return rf"{factor}10^{{{exponent}}}"

    def fenced(self, left: str, inside: Sequence[str], right: str) -> str:
        text = ", ".join(inside)
        tall = any(word in text for word in (r"\frac", r"\sqrt", "^"))
        return rf"\left{left}{text}\right{right}" if tall else f"{left}{text}{right}"

    def function(self, name: str) -> str:
        known = name in BUILT_IN or name in WRITTEN.values()
        return rf"\{name}" if known else rf"\operatorname{{{name}}}"

    def equations(self, sides: Sequence[str]) -> str:
        if len(sides) == 1:
            return f"{sides[0]} = 0"
        body = r" \\ ".join(f"{side} &= 0" for side in sides)
        return rf"\begin{{aligned}} {body} \end{{aligned}}"


class MathML(Notation):
    """MathML Core, which browsers show without a program."""

    def number(self, text: str) -> str:
        return f"<mn>{text}</mn>"

    def name(self, text: str) -> str:
        return f"<mi>{html.unescape(f'&{text};') if text in GREEK else html.escape(text)}</mi>"

    def below(self, base: str, parts: Sequence[str]) -> str:
        return f"<msub><mrow>{base}</mrow><mrow>{''.join(parts)}</mrow></msub>"

    def power(self, base: str, exponent: str) -> str:
        return f"<msup><mrow>{base}</mrow><mrow>{exponent}</mrow></msup>"

    def root(self, inside: str) -> str:
        return f"<msqrt>{inside}</msqrt>"

    def fraction(self, above: str, below: str) -> str:
        return f"<mfrac><mrow>{above}</mrow><mrow>{below}</mrow></mfrac>"

    def product(self, parts: Sequence[str]) -> str:
        return '<mspace width="0.17em"/>'.join(parts)

    def sum(self, parts: Iterable[tuple[str, str]]) -> str:
        signs = {"+": "+", "-": "\N{MINUS SIGN}"}
        text = "".join(f"<mo>{signs[sign]}</mo>{part}" for sign, part in parts)
        return text.removeprefix("<mo>+</mo>")

    def scientific(self, mantissa: str, exponent: int) -> str:
        factor = f"<mn>{mantissa}</mn><mo>&#183;</mo>" if mantissa else ""
        return f"{factor}{self.power('<mn>10</mn>', f'<mn>{exponent}</mn>')}"

    def fenced(self, left: str, inside: Sequence[str], right: str) -> str:
        return f"<mrow><mo>{left}</mo>{'<mo>,</mo>'.join(inside)}<mo>{right}</mo></mrow>"

    def function(self, name: str) -> str:
        return f"<mi>{name}</mi>"

    def equations(self, sides: Sequence[str]) -> str:
        rows = [f"{side}<mo>=</mo><mn>0</mn>" for side in sides]
        body = rows[0]
        if len(rows) > 1:
            cells = [f'<mtr><mtd style="text-align: left">{row}</mtd></mtr>' for row in rows]
            body = f'<mtable displaystyle="true">{"".join(cells)}</mtable>'
        return f'<math display="block">{body}</math>'


class Typesetter:
    """Writes sums in a notation.

    Args:
        names: Coordinates and unknowns, whose derivatives have subscripts.
        notation: LaTeX or MathML.
    """

    def __init__(self, names: Names, notation: Notation):
        self._names, self._notation = names, notation

    def equations(self, sides: Mapping[str, Sum]) -> str:
        """Sums that vanish."""
        return self._notation.equations([self._side(each) for each in sides.values()])

    def _side(self, there: Sum) -> str:
        """The left-hand side of an equation; a factor that all its terms share stands in front."""
        known = [{atom.key: exponent for atom, exponent in term.factors} for term in there.terms]
        shared = [
            (atom, exponent)
            for atom, exponent in (there.terms[0].factors if len(known) > 1 else ())
            if all(each.get(atom.key) == exponent for each in known)
        ]
        if not shared:
            return self.sum(there)
        keys = {atom.key for atom, _ in shared}
        inside = total(
            Term(term.number, tuple(each for each in term.factors if each[0].key not in keys))
            for term in there.terms
        )
        front = self._term(Term(1.0, tuple(shared)))
        return self._notation.product([front, self._notation.fenced("(", [self.sum(inside)], ")")])

    def sum(self, there: Sum) -> str:
        """A sum alone."""
        if not there.terms:
            return self._notation.number("0")
        terms = there.terms
        if there.order < 0:  # of sums of coordinates and coefficients the positive terms come first
            terms = sorted(terms, key=_negative)
        signs = ("-" if _negative(term) else "+" for term in terms)
        return self._notation.sum(zip(signs, map(self._term, terms), strict=True))

    def _term(self, term: Term) -> str:
        """A term without its sign: what has negative exponents stands below the line."""
        above, below = self._number(abs(term.number))
        over = [(atom, exponent) for atom, exponent in term.factors if exponent > 0]
        under = [(atom, -exponent) for atom, exponent in term.factors if exponent < 0]
        divided = bool(below or under)
        numerator = self._product(above, over, alone=divided)
        if not divided:
            return numerator
        return self._notation.fraction(numerator, self._product(below, under, alone=True))

    def _product(
        self, numbers: list[str], factors: list[tuple[Atom, float]], *, alone: bool
    ) -> str:
        """Numbers times powers, 1 without any; a sum that stands alone needs no parentheses."""
        if alone and not numbers and len(factors) == 1:
            ((atom, exponent),) = factors
            if isinstance(atom, Sum) and exponent == 1.0:
                return self.sum(atom)
        parts = [*numbers, *(self._power(atom, exponent) for atom, exponent in factors)]
        return self._notation.product(parts or [self._notation.number("1")])

    def _number(self, number: float) -> tuple[list[str], list[str]]:
        """The factors of a positive number above and below a line, with exact powers of π."""
        write = self._notation.number
        for power in (0, 1, 2, -1, -2):
            ratio = number / math.pi**power
            fraction = Fraction(ratio).limit_denominator(LARGEST)
            if fraction.numerator > 10_000 or not fraction:
                continue
            if abs(float(fraction) - ratio) <= EXACT * ratio:
                pi = self._notation.name("pi")
                pi = pi if abs(power) == 1 else self._notation.power(pi, write(str(abs(power))))
                above = [write(str(fraction.numerator))] if fraction.numerator != 1 else []
                below = [write(str(fraction.denominator))] if fraction.denominator != 1 else []
                return above + [pi] * (power > 0), below + [pi] * (power < 0)
        text = f"{number:.6g}"
        if text == "1":
            return [], []
        if "e" not in text:
            return [write(text)], []
        mantissa, exponent = text.split("e")
        return [self._notation.scientific("" if mantissa == "1" else mantissa, int(exponent))], []

    def _power(self, atom: Atom, exponent: float) -> str:
        if exponent == 0.5:
            return self._notation.root(
                self.sum(atom) if isinstance(atom, Sum) else self._atom(atom)
            )
        base = self._atom(atom)
        if exponent == 1.0:
            return base
        fraction = Fraction(exponent).limit_denominator(LARGEST)
        exact = abs(float(fraction) - exponent) <= EXACT * exponent
        text = self._notation.number(str(fraction) if exact else f"{exponent:.6g}")
        if isinstance(atom, Function):
            base = self._notation.fenced("(", [base], ")")
        return self._notation.power(base, text)

    def _atom(self, atom: Atom) -> str:
        match atom:
            case Symbol():
                return self._symbol(atom.name)
            case Sum():
                return self._notation.fenced("(", [self.sum(atom)], ")")
        first, *others = (self.sum(each) for each in atom.arguments)
        if atom.name == "abs":
            return self._notation.fenced("|", [first], "|")
        if atom.name == "pow":
            return self._notation.power(self._notation.fenced("(", [first], ")"), others[0])
        name = self._notation.function(WRITTEN.get(atom.name, atom.name))
        return name + self._notation.fenced("(", [first, *others], ")")

    def _symbol(self, name: str) -> str:
        names = self._names
        match parse_name(name, names):
            case Partial(component, index):
                base = self._spelled(names.unknowns[component])
                letters = [self._spelled(names.coordinates[axis]) for axis in index]
                return self._notation.below(base, letters) if letters else base
            case Laplacian(component):
                laplacian = self._notation.name("Delta")
                return f"{laplacian} {self._spelled(names.unknowns[component])}"
            case Coordinate(axis):
                return self._spelled(names.coordinates[axis])
        base, parenthesis, arguments = name.partition("(")
        if parenthesis:  # an opaque part
            inside = [self._symbol(each) for each in arguments.removesuffix(")").split(", ")]
            return self._spelled(base) + self._notation.fenced("(", inside, ")")
        base, bracket, places = name.partition("[")
        numbers = [self._notation.number(places.removesuffix("]"))]
        return (
            self._notation.below(self._spelled(base), numbers) if bracket else self._spelled(base)
        )

    def _spelled(self, name: str) -> str:
        """A name, with the digits at its end as a subscript."""
        stem = name.rstrip("0123456789")
        digits = name[len(stem) :]
        text = self._notation.name(stem.removesuffix("_") if digits else stem)
        return self._notation.below(text, [self._notation.number(digits)]) if digits else text


def _negative(term: Term) -> bool:
    return term.number < 0
