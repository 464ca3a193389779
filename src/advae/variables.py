"""What the encoded columns of a table are of: numbers, phases of a cycle, truths and categories."""

from typing import Literal, NamedTuple

VariableKind = Literal["number", "phase", "weekday", "truth", "category", "bucket"]


class Variable(NamedTuple):
    """One value of a row, as its encoded columns hold it.

    ``kind`` and ``places``, the positions of its encoded columns:

    - ``"number"``: the place of the number, in units of the training range;
    - ``"phase"``: of the sine and the cosine, moved to [0, 1], of a moment in its cycle;
    - ``"weekday"``: the same, of few different ones that are judged by how frequent they are;
    - ``"truth"``: of what is 1 if it is true, or another value than training's only one;
    - ``"category"``: of one column for each category, the one of a row being 1; the last is that of
      all values too rare for a column of their own;
    - ``"bucket"``: the same, without such a last one.

    ``missing``: the place of what is 1 if the value is missing; None if it cannot be told.
    """

    kind: VariableKind
    places: tuple[int, ...]
    missing: int | None
