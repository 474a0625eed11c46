"""A plot with two logarithmic axes as SVG, so that what grows is a slope and what does not is level."""

from math import ceil, floor, log10

COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#8a5ab5", "#e08e0b", "#4d4d4d", "#00a3a3", "#a0522d", "#999999")
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 460, 70, 40, 220, 50


def plot(title: str, sizes: list[int], figures: dict[str, list[float]]) -> str:
    """Lines by name over the sizes, which are powers of ten apart."""
    values = [value for line in figures.values() for value in line]
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    inner_width, inner_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    span = log10(sizes[-1] / sizes[0])

    def x(size: int) -> float:
        return LEFT + inner_width * log10(size / sizes[0]) / span

    def y(value: float) -> float:
        return TOP + inner_height * (high - log10(value)) / (high - low)

    style = "font-family='sans-serif' font-size='12'"
    lines = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' {style}>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>",
        f"<text x='{LEFT}' y='20' font-size='14'>{title}</text>",
    ]
    for power in range(low, high + 1):
        at = y(10**power)
        lines.append(f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{at:.1f}' y2='{at:.1f}' stroke='#ddd'/>")
        lines.append(f"<text x='{LEFT - 8}' y='{at + 4:.1f}' text-anchor='end'>{10.0**power:,g}</text>")
    for size in sizes:
        lines.append(f"<text x='{x(size):.1f}' y='{HEIGHT - 25}' text-anchor='middle'>{size:,}</text>")
    labels = []
    for (name, line), colour in zip(figures.items(), COLOURS):
        points = " ".join(f"{x(size):.1f},{y(value):.1f}" for size, value in zip(sizes, line))
        lines.append(f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='2'/>")
        labels.append([y(line[-1]), name, colour])
    last = 0.0
    for at, label, colour in sorted(labels):
        last = max(at, last + 14)
        lines.append(f"<text x='{WIDTH - RIGHT + 8}' y='{last + 4:.1f}' fill='{colour}'>{label}</text>")
    return "\n".join([*lines, "</svg>"]) + "\n"
