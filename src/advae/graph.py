"""A computation on arrays, written down as a graph of ONNX's operators, without ONNX itself.

Kinds of columns and methods write their parts of it; `advae.export` makes a file of the whole.
Shapes are those of operators of opset `OPSET`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

OPSET, ML_OPSET, IR_VERSION = 11, 2, 6
"""The oldest that will do: ONNX 1.6. Before, numbers could not be compared for equality, nor
single places of an array be read or written."""

Operand: TypeAlias = "Value | np.ndarray | np.generic | float"


class Input(NamedTuple):
    """What the graph is given under a name.

    ``dtype``: of NumPy, ``object`` for texts. ``shape``: sizes, or names of sizes that are free.
    ``default``: stands where nothing is given; None where something must be.
    """

    name: str
    dtype: Any
    shape: tuple[int | str, ...]
    default: np.ndarray | None = None


class Node(NamedTuple):
    """An operator, with the names of what goes in and comes out; a `Graph` may be an attribute."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    domain: str


@dataclass(frozen=True, eq=False)
class Value:
    """An array of a graph, by its name. Plain numbers beside it are float32."""

    graph: "Graph"
    name: str

    def __add__(self, other: Operand) -> "Value":
        return self.graph.op("Add", self, other)

    def __sub__(self, other: Operand) -> "Value":
        return self.graph.op("Sub", self, other)

    def __mul__(self, other: Operand) -> "Value":
        return self.graph.op("Mul", self, other)

    def __truediv__(self, other: Operand) -> "Value":
        return self.graph.op("Div", self, other)

    def __matmul__(self, other: Operand) -> "Value":
        return self.graph.op("MatMul", self, other)

    def __and__(self, other: Operand) -> "Value":
        return self.graph.op("And", self, other)

    def __or__(self, other: Operand) -> "Value":
        return self.graph.op("Or", self, other)

    def __invert__(self) -> "Value":
        return self.graph.op("Not", self)

    def __lt__(self, other: Operand) -> "Value":
        return self.graph.op("Less", self, other)

    def __gt__(self, other: Operand) -> "Value":
        return self.graph.op("Greater", self, other)

    def equals(self, other: Operand) -> "Value":
        """Return where the two are equal."""
        return self.graph.op("Equal", self, other)

    def where(self, true: Operand, false: Operand) -> "Value":
        """Return one of the two, by this truth value."""
        return self.graph.op("Where", self, true, false)

    def cast(self, dtype: Any) -> "Value":
        """Return the same as another type."""
        return self.graph.op("Cast", self, to=np.dtype(dtype))

    def sum(self, axis: int, *, keep: bool = False) -> "Value":
        """Return the sum along an axis."""
        return self.graph.op("ReduceSum", self, axes=[axis], keepdims=int(keep))

    def take(self, places: Operand, axis: int = 0) -> "Value":
        """Return the entries at some places of an axis."""
        return self.graph.op("Gather", self, places, axis=axis)

    def clip(self, low: float, high: float) -> "Value":
        """Return float32 numbers, none beyond the two."""
        return self.graph.op("Clip", self, low, high)

    def reshape(self, *shape: int) -> "Value":
        """Return the same in another shape: -1 is what is left, 0 as it was."""
        return self.graph.op("Reshape", self, np.asarray(shape, np.int64))

    def widened(self, axis: int) -> "Value":
        """Return the same with one more axis, of size 1."""
        return self.graph.op("Unsqueeze", self, axes=[axis])


@dataclass(eq=False)
class Graph:
    """Nodes in the order in which they are computed; one with an ``outer`` is the body of a loop.

    ``taken``: names that nothing in it may have but what is given it.
    """

    taken: frozenset[str] = frozenset()
    outer: "Graph | None" = None
    inputs: list[Input] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    _known: dict[tuple[Any, ...], str] = field(default_factory=dict)
    _names: int = 0

    @property
    def _root(self) -> "Graph":
        return self if self.outer is None else self.outer._root

    def _name(self, kind: str) -> str:
        root = self._root
        while True:
            root._names += 1
            name = f"{kind}_{root._names}"
            if name not in root.taken:
                return name

    def input(self, given: Input) -> Value:
        """Declare something that the graph is given."""
        self.inputs.append(given)
        return Value(self, given.name)

    def constant(self, array: np.ndarray | np.generic | float) -> Value:
        """Return an array that is part of the graph; equal ones are kept once."""
        array = np.asarray(array, np.float32 if type(array) is float else None)
        root = self._root
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in root._known:
            root._known[key] = name = self._name("constant")
            root.constants[name] = array
        return Value(self, root._known[key])

    def _named(self, operand: Operand) -> str:
        return operand.name if isinstance(operand, Value) else self.constant(operand).name

    def op(self, kind: str, *operands: Operand, domain: str = "", **attributes: Any) -> Value:
        """Return what an operator makes of some values."""
        (made,) = self.split(kind, *operands, outputs=1, domain=domain, **attributes)
        return made

    def split(
        self, kind: str, *operands: Operand, outputs: int, domain: str = "", **attributes: Any
    ) -> tuple[Value, ...]:
        """Return all that an operator with several ``outputs`` makes of some values."""
        # What a loop's entry is part of belongs to its body.
        graphs = [self, *(operand.graph for operand in operands if isinstance(operand, Value))]
        home = next((graph for graph in graphs if graph.outer is not None), self)
        names = tuple(self._name(kind) for _ in range(outputs))
        given = tuple(map(self._named, operands))
        home.nodes.append(Node(kind, given, names, attributes, domain))
        return tuple(Value(home, name) for name in names)

    def output(self, name: str, value: Value) -> None:
        """Give a value out under a name."""
        self.nodes.append(Node("Identity", (value.name,), (name,), {}, ""))
        self.outputs.append(name)

    def concat(self, values: Sequence[Operand], axis: int = 1) -> Value:
        """Return values one after the other along an axis."""
        return self.op("Concat", *values, axis=axis)

    def total(self, values: Sequence[Value]) -> Value:
        """Return the sum of values of one shape."""
        return self.op("Sum", *values) if len(values) > 1 else values[0]

    def scan(
        self,
        body: Callable[["Graph", Value, Value], Value],
        state: Value,
        over: np.ndarray,
        width: int,
    ) -> Value:
        """Return what becomes of a state [rows, width], by one entry of ``over`` after the other.

        Parameters
        ----------
        body
            Is given a graph, the state, and an entry; returns the next state. It may use values
            of this graph.
        state
            At the beginning, float32.
        over
            The entries, along the first axis; float32.
        width
            Of the state.
        """
        inner = Graph(outer=self)
        before = inner.input(Input(self._name("state"), np.float32, ("rows", width)))
        entry = inner.input(Input(self._name("entry"), np.float32, over.shape[1:]))
        inner.outputs.append(body(inner, before, entry).name)
        return self.op("Scan", state, over, body=inner, num_scan_inputs=1)

    def search(self, table: np.ndarray, values: Value) -> Value:
        """Return where values [rows, columns] stand in ascending lists, int64 [rows, columns].

        The place of the first entry of the column's list that is not less: `numpy.searchsorted`.

        Parameters
        ----------
        table
            A list for each column, shape (columns, entries), of the type of the values.
        values
            Finite ones.
        """
        columns, entries = table.shape
        steps = 1 << np.arange(entries.bit_length())[::-1]
        padding = ((0, 0), (0, 2 * int(steps[0]) - 1 - entries))
        flat = np.pad(table, padding, constant_values=np.inf)
        starts = np.arange(columns, dtype=np.int64)[None] * flat.shape[1]
        known = self.constant(flat.ravel())
        place = self.constant(starts)
        for step in steps:
            less = known.take(place + np.int64(step - 1)) < values
            place = place + less.cast(np.int64) * np.int64(step)
        return self.op("Sub", place, starts)
