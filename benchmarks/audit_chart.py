"""Draw what the stages of the demo install beside what is usual, from what was committed.

python benchmarks/audit_chart.py > docs/audit.svg
"""

from pathlib import Path

from leangen.generator.audit.stages import audit
from leangen.generator.open import open_projects

ROOT = Path(__file__).parents[1]
MEGA = 1_000_000
SCALE = 0.33  # pixels a megabyte
LEFT, ROW, BAR = 74, 46, 15  # pixels: of names, of a stage, of a bar
OURS, USUAL, INK = "#0b6e99", "#b9c0c7", "#1f2328"


def bar(y: int, megabytes: float, color: str, said: str) -> str:
    width = megabytes * SCALE
    return (
        f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{color}"/>\n'
        f'<text x="{LEFT + width + 5:.1f}" y="{y + 12}">{said}</text>\n'
    )


def main() -> None:
    (project,) = open_projects([ROOT / "spec/examples/demo.yaml"], ROOT / "generated")
    rows, y = "", 34
    for stage in audit(project, offline=True):
        if stage.cost.size is None or stage.ratio is None:
            continue
        usual = stage.usual[0]
        ours = stage.cost.size / MEGA
        said = f"{ours * stage.ratio:,.0f} {usual.name}: {stage.ratio:.1f} times"
        rows += f'<text x="{LEFT - 8}" y="{y + 20}" text-anchor="end">{stage.stage}</text>\n'
        rows += bar(y, ours, OURS, f"{ours:,.0f}")
        rows += bar(y + BAR + 1, ours * stage.ratio, USUAL, said)
        y += ROW
    print(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 {y}" role="img" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">\n'
        "<title>Megabytes that each stage of the demo installs, beside what is usual</title>\n"
        f'<rect width="860" height="{y}" fill="#ffffff"/>\n'
        f'<text x="{LEFT}" y="18">MB installed by stage: leangen, and below what the stage is '
        f"usually made of</text>\n{rows}</svg>"
    )


if __name__ == "__main__":
    main()
