"""Matrices drawn by hand: a row that meets a column, and how a matrix lies in memory, row by row or column by column."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import numpy as np

from factory.errors import ShapeError
from factory.lab.figures import Picture, picture
from factory.lab.svg import BLUE, INK, ORANGE, PAPER, QUIET, YELLOW, box, line, pair, tag, word
from factory.lab.svg import picture as drawing
from factory.lab.switch import bind, live
from factory.language import Text

MOST = 8  # rows and columns that still read well
PRODUCT = Text("行が列に出会う", "A row meets a column")
PRODUCT_SAY = Text(
    "左に行列 A、上に行列 B、その角に答え C。A の {row} 行目と B の {column} 列目を順にかけて足すと、{sum}。",
    "Matrix A on the left, matrix B above, the answer C in their corner. Row {row} of A times column {column} of B, "
    "added up: {sum}.",
)
ROW, COLUMN, ANSWER = Text("{n} 行目", "row {n}"), Text("{n} 列目", "column {n}"), Text("答え", "answer")
STEP = Text("答えの何番目:", "Answer no.:")

ORDER = Text("同じメモリ、ちがう読み方", "The same memory, read in different ways")
ORDER_SAY = Text(
    "行列 {matrix} を行優先でメモリに置くと {memory}。これを列優先で読むと、{rows}×{columns} のつもりなら {wrong}、"
    "{columns}×{rows} のつもりなら {turned}(元の行列の転置)。",
    "The matrix {matrix}, put in memory row by row, is {memory}. Read column by column that is {wrong} if taken for "
    "{rows}×{columns}, and {turned}, the transpose, if taken for {columns}×{rows}.",
)
WRITTEN = Text("書く: 行優先(NumPy)", "written by rows (NumPy)")
MEMORY = Text("メモリ: 1 列にならぶ", "memory: all in one line")
READ_WRONG = Text("{rows}×{columns} のつもりで読む", "read as {rows}×{columns}")
READ_TURNED = Text("{columns}×{rows} のつもりで読む", "read as {columns}×{rows}")
BY_COLUMNS = Text("読む: 列優先(rocBLAS)", "read by columns (rocBLAS)")
SCRAMBLED = Text("✖ ばらばら", "✖ scrambled")
TURNED = Text("✔ 転置(たてよこが逆)", "✔ the transpose")

_W, _H = 56, 36  # one number
_TINTS = ("#d5ecfa", "#fbe6bf", "#cdeee3", "#f6e0ec", "#fbfad0", "#e3e8ee", "#fbdcc8", "#dfe0f7")


def product_picture(a: Any, b: Any, step: int = 1) -> Picture:
    """Number `step` of the product of a (M, K) and b (K, N), in reading order from 1: its row, its column, its sum.

    The answers before it stand there already. Raises ShapeError where the two do not fit, or do not fit the picture.
    """
    a, b = _matrix("product_picture", a), _matrix("product_picture", b)
    if a.shape[1] != b.shape[0]:
        raise ShapeError("gemm_inner", a=a.shape, b=b.shape, columns=a.shape[1], rows=b.shape[0])
    if not 1 <= step <= a.shape[0] * b.shape[1]:
        want = f"1, ..., {a.shape[0] * b.shape[1]}"
        raise ShapeError("number", call="product_picture", name="step", want=want, got=step)
    row, column = divmod(step - 1, b.shape[1])
    terms = " + ".join(f"{number(x)}×{number(y)}" for x, y in zip(a[row], b[:, column], strict=True))
    total = f"{terms} = {number(a[row] @ b[:, column])}"
    said = PRODUCT_SAY.format(row=row + 1, column=column + 1, sum=total)
    return picture(_product_svg(a, b, row, column, total), PRODUCT, said)


def product_box(a: Any, b: Any) -> widgets.Widget:
    """A slider through the answers of a product, with the row and the column that make each."""
    count = _matrix("product_box", a).shape[0] * _matrix("product_box", b).shape[1]
    slider = widgets.IntSlider(1, 1, count)
    bind(slider, description=STEP)
    return live(product_picture, a=a, b=b, step=slider)


def order_picture(matrix: Any) -> Picture:
    """A matrix in memory row by row, and what a reader by columns makes of it with either shape."""
    matrix = _matrix("order_picture", matrix)
    rows, columns = matrix.shape
    memory = matrix.ravel()
    wrong, turned = memory.reshape(columns, rows).T, memory.reshape(rows, columns).T
    said = ORDER_SAY.format(
        matrix=listed(matrix), memory=", ".join(map(number, memory)), rows=rows, columns=columns,
        wrong=listed(wrong), turned=listed(turned),
    )  # fmt: skip
    return picture(_order_svg(matrix, wrong, turned), ORDER, said)


def number(value: float) -> str:
    """A number as a picture writes it: at most four digits that count."""
    return f"{value:.0f}" if value == int(value) else f"{value:.4g}"


def listed(matrix: np.ndarray) -> str:
    """A matrix in one line: (1, 2; 3, 4)."""
    return "(" + "; ".join(", ".join(map(number, row)) for row in matrix) + ")"


def _matrix(call: str, given: Any) -> np.ndarray:
    made = np.asarray(given, dtype=float)
    if made.ndim != 2 or not 1 <= min(made.shape) <= max(made.shape) <= MOST:
        raise ShapeError("shape", call=call, name="matrix", want=f"(1 ... {MOST}, 1 ... {MOST})", got=made.shape)
    return made


def _grid(x: float, y: float, values: np.ndarray, fills: Any) -> str:
    """A matrix as a table of numbers; fills(row, column) gives each cell's colour, None an empty cell."""
    drawn = []
    for row, across in enumerate(values):
        for column, value in enumerate(across):
            left, top, fill = x + _W * column, y + _H * row, fills(row, column)
            drawn.append(box(left, top, _W, _H, fill or PAPER, 0, stroke=QUIET, stroke_width=1))
            if fill is not None:
                drawn.append(word(number(value), left + _W / 2, top + _H / 2 + 6, 16))
    return "".join(drawn)


def _frame(x: float, y: float, rows: int, columns: int, colour: str, width: float = 4) -> str:
    return box(x, y, _W * columns, _H * rows, "none", 4, stroke=colour, stroke_width=width)


def _arrow(x: float, y: float, length: float, colour: str, down: bool = False) -> str:
    shaft = line(f"M{x} {y} {'v' if down else 'h'}{length - 6}", colour, 2.5, stroke_dasharray="2 6")
    head = f"M{x - 6} {y + length - 9} l6 9 l6 -9 z" if down else f"M{x + length - 9} {y - 6} l9 6 l-9 6 z"
    return shaft + tag("path", d=head, fill=colour)


def _product_svg(a: np.ndarray, b: np.ndarray, row: int, column: int, total: str) -> str:
    """A on the left, B above, C where A's rows and B's columns cross."""
    (m, k), n, gap = a.shape, b.shape[1], 64
    ax, by = 96, 58
    bx, ay = ax + _W * k + gap, by + _H * k + gap
    cell_x, cell_y = bx + _W * column, ay + _H * row
    width = max(bx + _W * n + 130, 2 * ax + 11.5 * len(total), 520)
    height = ay + _H * m + 70
    filled = row * n + column
    answer = np.array([[a[i] @ b[:, j] for j in range(n)] for i in range(m)])

    def answered(i: int, j: int) -> str | None:
        return YELLOW if (i, j) == (row, column) else PAPER if i * n + j < filled else None

    return drawing(
        width,
        height,
        box(0, 0, width, height, "#f6f8fa", 12),
        word("A", ax + _W * k / 2, ay - 12, 20, font_weight=800),
        word("B", bx - 22, by + _H * k / 2 + 7, 20, font_weight=800),
        word("C", bx + _W * n + 22, ay + _H * m / 2 + 7, 20, font_weight=800),
        _grid(ax, ay, a, lambda i, j: "#d5ecfa" if i == row else PAPER),
        _grid(bx, by, b, lambda i, j: "#fbe6bf" if j == column else PAPER),
        _grid(bx, ay, answer, answered),
        _frame(ax, ay + _H * row, 1, k, BLUE),
        _frame(bx + _W * column, by, k, 1, ORANGE),
        _frame(cell_x, cell_y, 1, 1, INK),
        _arrow(ax + _W * k + 6, cell_y + _H / 2, gap - 10, BLUE),
        _arrow(cell_x + _W / 2, by + _H * k + 6, gap - 10, ORANGE, down=True),
        pair(ROW.format(n=row + 1), ax - 10, cell_y + _H / 2 + 5, 14, "end", BLUE, font_weight=700),
        pair(COLUMN.format(n=column + 1), cell_x + _W / 2, by - 20, 14, fill="#8a5a00", font_weight=700),
        word(total, width / 2, height - 22, 20, font_weight=700),
    )


def _order_svg(matrix: np.ndarray, wrong: np.ndarray, turned: np.ndarray) -> str:
    """The matrix on top with its line of memory; the two readings below it."""
    rows, columns = matrix.shape
    memory = matrix.ravel()
    tint = {index: _TINTS[index // columns] for index in range(memory.size)}
    left, strip = 30, 30 + _W * columns + 70
    top = 60
    below = top + max(_H * rows, 72) + 98
    second = max(left + _W * columns + 90, left + 250)
    width = max(strip + _W * memory.size + 30, second + _W * rows + 190, 640)
    height = below + _H * max(rows, columns) + 52

    def row_of(places: np.ndarray) -> Any:
        return lambda i, j: tint[int(places[i, j])]

    places = np.arange(memory.size)
    return drawing(
        width,
        height,
        box(0, 0, width, height, "#f6f8fa", 12),
        pair(WRITTEN, left, 34, 14, "start", font_weight=700),
        _grid(left, top, matrix, row_of(places.reshape(rows, columns))),
        *(_arrow(left + 4, top + _H * (row + 1) - 6, _W * columns - 8, BLUE) for row in range(rows)),
        _arrow(left + _W * columns + 12, top + _H / 2, 46, INK),
        pair(MEMORY, strip, 34, 14, "start", font_weight=700),
        _grid(strip, top, memory.reshape(1, -1), lambda i, j: tint[j]),
        *(word(str(i), strip + _W * (i + 0.5), top + _H + 17, 12, fill=QUIET) for i in range(memory.size)),
        line(f"M{left} {below - 82} H{width - 30}", "#c5ced6", 1.5),
        pair(BY_COLUMNS, left, below - 52, 14, "start", font_weight=700),
        pair(READ_WRONG.format(rows=rows, columns=columns), left, below - 13, 13, "start"),
        _grid(left, below + 6, wrong, row_of(places.reshape(columns, rows).T)),
        *(_arrow(left + _W * j + 6, below + 10, _H * rows - 8, ORANGE, down=True) for j in range(columns)),
        pair(SCRAMBLED, left, below + 6 + _H * rows + 26, 14, "start", "#a33f00", font_weight=700),
        pair(READ_TURNED.format(rows=rows, columns=columns), second, below - 13, 13, "start"),
        _grid(second, below + 6, turned, row_of(places.reshape(rows, columns).T)),
        *(_arrow(second + _W * j + 6, below + 10, _H * columns - 8, ORANGE, down=True) for j in range(rows)),
        pair(TURNED, second + _W * rows + 16, below + 6 + _H * columns / 2, 14, "start", "#00674b", font_weight=700),
    )
