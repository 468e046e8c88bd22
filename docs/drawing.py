"""Lines and words of the documentation's pictures, as SVG that follows the reader's light or dark theme."""

from dataclasses import dataclass

WIDTH = 472
STYLE = """
text { font: 12px system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; fill: #1b2128; }
.small { font-size: 10px; fill: #57616d; }
.bold { font-weight: 600; }
.middle { text-anchor: middle; }
.end { text-anchor: end; }
image { image-rendering: pixelated; }
.grid { stroke: #dfe3e8; }
.cut { stroke: #1b2128; stroke-dasharray: 4 3; }
.tick { stroke: #2a6f97; stroke-opacity: .45; fill: none; } .gap { fill: #b9622c; fill-opacity: .35; }
polyline { fill: none; stroke-width: 1.3; stroke-linejoin: round; }
.one { stroke: #2a6f97; } circle.one, text.one { fill: #2a6f97; stroke: none; }
.two { stroke: #b9622c; } circle.two, text.two { fill: #b9622c; stroke: none; }
.three { stroke: #7a5aa6; } circle.three, text.three { fill: #7a5aa6; stroke: none; }
@media (prefers-color-scheme: dark) {
  text { fill: #e4e8ec; } .small { fill: #9ba6b2; } .grid { stroke: #3a424b; } .cut { stroke: #e4e8ec; }
  .one { stroke: #6fb3d9; } circle.one, text.one { fill: #6fb3d9; }
  .tick { stroke: #6fb3d9; } .gap { fill: #e0935f; }
  .two { stroke: #e0935f; } circle.two, text.two { fill: #e0935f; }
  .three { stroke: #b79be0; } circle.three, text.three { fill: #b79be0; }
}
"""


@dataclass(frozen=True)
class Box:
    """The area of a chart; x goes from 0 to 1, y from low to high."""

    left: float
    top: float
    width: float
    height: float
    low: float
    high: float

    def y(self, value: float) -> float:
        """Where a value lies."""
        return self.top + self.height * (self.high - value) / (self.high - self.low)

    def level(self, value: float, name: str) -> str:
        """A line across, with its name at the left."""
        line = self._across(value, "grid")
        return line + text(name, self.left - 6, self.y(value) + 4, "small end")

    def rule(self, value: float) -> str:
        """A dashed line across."""
        return self._across(value, "cut")

    def line(self, points: list[tuple[float, float]], kind: str) -> str:
        """A line through points."""
        places = " ".join(f"{self.left + x * self.width:.1f},{self.y(y):.1f}" for x, y in points)
        return f'<polyline points="{places}" class="{kind}"/>'

    def dot(self, x: float, y: float, kind: str) -> str:
        """A mark at a point."""
        return f'<circle cx="{self.left + x * self.width:.1f}" cy="{self.y(y):.1f}" r="4" class="{kind}"/>'

    def _across(self, value: float, kind: str) -> str:
        y = f"{self.y(value):.1f}"
        return f'<line x1="{self.left}" x2="{self.left + self.width}" y1="{y}" y2="{y}" class="{kind}"/>'


def text(words: str, x: float, y: float, kind: str = "") -> str:
    """Words at a place."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{words}</text>'


def svg(drawn: list[str], height: float, label: str) -> str:
    """A picture of what was drawn, that says in words what it shows."""
    box = f"0 0 {WIDTH} {height:g}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img" aria-label="{label}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *drawn, "</svg>", ""])
