"""The machines of the factory floor, drawn by hand: a hopper, a press, a window, a bench, a truck and an office."""

from __future__ import annotations

from factory.lab.svg import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PAPER,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    box,
    disc,
    line,
    tag,
    word,
)

STEEL, DARK, SHADE = "#8fa1b3", "#3d4b59", "#dfe6ec"
SKIN, GLASS, CARD = "#f3cda6", "#22303d", "#c8925a"
COLOURS = {"HIP": VERMILION, "rocBLAS": BLUE, "MIOpen": GREEN, "kernels": PURPLE}


def lamps(x: float, y: float, lit: int, count: int = 5) -> str:
    """A row of lamps, so many of them lit: the share at a glance, without its colour too."""
    drawn = []
    for i in range(count):
        left = x + 19 * i
        if i < lit:
            drawn.append(box(left - 2, y - 2, 19, 13, YELLOW, 5, opacity=0.35))
        drawn.append(box(left, y, 15, 9, YELLOW if i < lit else GLASS, 3, opacity=None if i < lit else 0.45))
        if i < lit:
            drawn.append(line(f"M{left + 4} {y + 3} h5", PAPER, 2))
    return "".join(drawn)


def face(x: float, y: float, awake: bool) -> str:
    """Two eyes and a mouth: looking at the work, or asleep."""
    if awake:
        eyes = "".join(
            disc(x + dx, y, 9, PAPER) + disc(x + dx + 1.5, y + 2, 4.5, INK) + disc(x + dx + 3, y, 1.5, PAPER)
            for dx in (-15, 15)
        )
        return eyes + line(f"M{x - 6} {y + 11} q6 5.500 12 0", PAPER, 2.5)
    lids = "".join(line(f"M{x + dx - 8} {y} q8 6 16 0", PAPER, 2.5) for dx in (-15, 15))
    return (
        lids
        + word("z", x + 34, y - 2, 12, fill=PAPER, font_weight=700)
        + word("z", x + 44, y - 9, 15, fill=PAPER, font_weight=700)
    )


def body(x: float, y: float, width: float, height: float, colour: str, lit: int, awake: bool) -> str:
    """A machine's case with its beacon, its row of lamps and its face; feet stand behind the belt."""
    beacon = box(x + width / 2 - 11, y - 8, 22, 10, DARK, 3) + tag(
        "path", d=f"M{x + width / 2 - 8} {y - 8} a8 9 0 0 1 16 0 z", fill=YELLOW if lit else STEEL
    )
    if lit:
        cx = x + width / 2
        beacon += line(f"M{cx} {y - 21} v-7 M{cx - 12} {y - 18} l-5 -5 M{cx + 12} {y - 18} l5 -5", ORANGE, 2.5)
    case = box(x + 14, y + height - 4, 20, 14, DARK, 3) + box(x + width - 34, y + height - 4, 20, 14, DARK, 3)
    case += box(x, y, width, height, colour, 16) + box(x, y + height - 30, width, 30, INK, 15, opacity=0.12)
    case += tag(
        "path",
        d=f"M{x} {y + 44} v-28 a16 16 0 0 1 16 -16 h{width - 32} a16 16 0 0 1 16 16 v28 z",
        fill=PAPER,
        opacity=0.14,
    )
    if not awake:
        case += box(x, y, width, height, STEEL, 16, opacity=0.6)
    return beacon + case + lamps(x + width / 2 - 45.5, y + 12, lit) + face(x + width / 2, y + 44, awake)


def number(x: float, y: float, digit: str) -> str:
    """The number of a step, on a white disc."""
    return disc(x, y, 16, PAPER, stroke=INK, stroke_width=2.5) + word(digit, x, y + 6, 17, font_weight=800)


def _cells(squares: list[tuple[float, float]], fill: str, opacity: float | None = None) -> str:
    """Many small squares of one colour, as one path."""
    return tag("path", d="".join(f"M{x:g} {y:g}h8v8h-8z" for x, y in squares), fill=fill, opacity=opacity)


def press(x: float, y: float, width: float) -> str:
    """A matrix times a matrix, in a window: a row meets a column."""
    left, drawn = x + width / 2 - 57, [box(x, y, width, 44, GLASS, 8)]
    for block, colour in ((0, SKY), (1, ORANGE), (2, YELLOW)):
        at = {
            (row, column): (left + 44 * block + 9 * column, y + 9 + 9 * row) for row in range(3) for column in range(3)
        }
        lit = [place for place in at if (place[0] == 1, place[1] == 1, place == (1, 1))[block]]
        drawn.append(_cells([at[place] for place in lit], colour))
        drawn.append(_cells([at[place] for place in at if place not in lit], colour, 0.35))
    drawn += [word("×", left + 35, y + 28, 17, fill=PAPER), word("=", left + 79, y + 28, 17, fill=PAPER)]
    return "".join(drawn)


def window(x: float, y: float, width: float) -> str:
    """A filter that slides over a picture, and the hinge of an activation function beside it."""
    left, right = x + 16, x + width - 58
    at = {(row, column): (left + 9 * column, y + 4 + 9 * row) for row in range(4) for column in range(7)}
    dark = [place for place in at if (place[0] - 1.5) ** 2 + (place[1] - 3) ** 2 < 4.5]
    return "".join(
        (
            box(x, y, width, 44, GLASS, 8),
            _cells([at[place] for place in dark], SKY),
            _cells([at[place] for place in at if place not in dark], SHADE, 0.25),
            box(left + 18, y + 3, 28, 28, "none", 2, stroke=YELLOW, stroke_width=3),
            line(f"M{left + 50} {y + 17} h9 m-4 -4 l4 4 l-4 4", YELLOW, 2),
            line(f"M{right - 2} {y + 34} h48 M{right + 20} {y + 38} v-33", STEEL, 1.5),
            line(f"M{right} {y + 34} h20 l22 -25", ORANGE, 3.5),
        )
    )


def tools(x: float, y: float, width: float) -> str:
    """Small tools on a board: a spanner, a screw and a brush."""
    cx = x + width / 2
    drawn = [box(x, y, width, 44, GLASS, 8)]
    drawn.append(
        line(f"M{cx - 40} {y + 33} l16 -16", SHADE, 6)
        + disc(cx - 22, y + 14, 7, SHADE)
        + box(cx - 21, y + 6, 7, 8, GLASS, 2, transform=f"rotate(45 {cx - 20} {y + 10})")
    )
    drawn.append(
        box(cx - 9, y + 9, 18, 6, YELLOW, 2)
        + line(f"M{cx} {y + 16} v18 M{cx - 4} {y + 21} l8 2 M{cx - 4} {y + 27} l8 2", YELLOW, 2.5)
    )
    drawn.append(
        line(f"M{cx + 40} {y + 8} l-12 14", CARD, 5)
        + tag("path", d=f"M{cx + 26} {y + 19} l6 6 q-4 10 -15 9 q5 -4 9 -15 z", fill=SKY)
    )
    return "".join(drawn)


def hopper(x: float, y: float) -> str:
    """Raw material on its way in: words, a picture and a sound of numbers fall into a funnel."""

    def sheet(dx: float, dy: float, turn: float, inside: str) -> str:
        return tag(
            "g",
            box(-17, -20, 34, 40, PAPER, 4, stroke=STEEL, stroke_width=1.5),
            inside,
            transform=f"translate({x + dx} {y + dy}) rotate({turn})",
        )

    hill = tag("path", d="M-13 13 l9 -13 l6 7 l4 -4 l7 10 z", fill=GREEN) + disc(7, -9, 4, ORANGE)
    drawn = [
        sheet(24, 10, -12, word("あ", 0, 7, 20, font_weight=700)),
        sheet(78, 4, 9, hill),
        sheet(52, 40, 3, word("A", 0, 7, 20, font_weight=700, fill=VERMILION)),
        tag("path", d=f"M{x - 2} {y + 66} h108 l-30 62 v20 h-48 v-20 z", fill=SKY),
        tag("path", d=f"M{x - 2} {y + 66} h108 l-6 13 h-96 z", fill=INK, opacity=0.16),
        box(x + 24, y + 146, 56, 12, DARK, 4),
    ]
    return "".join(drawn)


def crate(x: float, y: float, inside: str = "") -> str:
    """A crate on the belt, its lower edge on `y`."""
    return (
        box(x, y - 26, 28, 26, CARD, 3)
        + line(f"M{x} {y - 18} h28", "#a8743f", 1.5)
        + (word(inside, x + 14, y - 4, 12, fill=PAPER, font_weight=700) if inside else "")
    )


def sheets(x: float, y: float) -> str:
    """A tensor on the belt: sheets of numbers in a stack, their lower edge on `y`."""
    drawn = [
        box(x + 8 - 4 * i, y - 26 + 4 * i - 8, 22, 22, colour, 2, stroke=PAPER, stroke_width=1.5)
        for i, colour in enumerate((SKY, ORANGE, GREEN))
    ]
    return "".join(drawn) + line(f"M{x + 5} {y - 14} h12 m-12 5 h12", PAPER, 1.5)


def truck(x: float, y: float) -> str:
    """The truck that takes the answer away, its wheels on `y`."""
    drawn = [
        box(x, y - 84, 118, 70, PAPER, 8, stroke=STEEL, stroke_width=2),
        tag("path", d=f"M{x + 118} {y - 64} h34 q6 0 9 6 l16 26 v18 h-59 z", fill=ORANGE),
        tag("path", d=f"M{x + 130} {y - 56} h18 l12 20 h-30 z", fill="#d9eef9"),
        box(x - 4, y - 16, 184, 8, DARK, 4),
    ]
    for dx in (30, 146):
        drawn.append(disc(x + dx, y - 8, 14, INK) + disc(x + dx, y - 8, 6, SHADE))
    return "".join(drawn)


def office(x: float, y: float) -> str:
    """The manager's office on the gallery: a helmet, a friendly face and a list of orders."""
    cx = x + 62
    drawn = [
        tag("path", d=f"M{x - 10} {y + 16} l12 -16 h150 l12 16 z", fill=VERMILION),
        box(x, y + 16, 154, 92, "#f6d9c4", 0),
        box(x + 12, y + 26, 130, 62, "#d9eef9", 8, stroke=PAPER, stroke_width=4),
        tag("path", d=f"M{cx - 28} {y + 88} q2 -26 28 -26 q26 0 28 26 z", fill=BLUE),
        disc(cx, y + 52, 16, SKIN),
        tag("path", d=f"M{cx - 19} {y + 46} a19 17 0 0 1 38 0 z", fill=YELLOW),
        box(cx - 23, y + 44, 46, 5, YELLOW, 2.5),
        box(cx - 3, y + 29, 6, 16, ORANGE, 2),
        disc(cx - 6, y + 54, 2, INK),
        disc(cx + 6, y + 54, 2, INK),
        line(f"M{cx - 5} {y + 60} q5 4.500 10 0", INK, 2),
        box(x + 102, y + 46, 30, 40, CARD, 3),
        box(x + 105, y + 51, 24, 32, PAPER, 2),
        box(x + 111, y + 43, 12, 7, DARK, 2),
        line(f"M{x + 109} {y + 58} h16 m-16 7 h16 m-16 7 h10", STEEL, 2),
        box(x + 12, y + 86, 130, 6, "#b07a4a", 3),
    ]
    return "".join(drawn)


def shelf(x: float, y: float, width: float) -> str:
    """The shelf of GPU memory: crates in a rack, standing on `y`."""
    drawn = [
        line(f"M{x} {y} v-74 M{x + width} {y} v-74", DARK, 4),
        line(f"M{x} {y - 36} h{width} M{x} {y - 72} h{width}", DARK, 3),
    ]
    for row, filled in ((0, (0, 1, 2, 4)), (36, (0, 1, 3))):
        for slot in filled:
            drawn.append(crate(x + 8 + 34 * slot, y - 2 - row))
    return "".join(drawn)
