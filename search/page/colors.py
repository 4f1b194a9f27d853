"""Colours of the charts, distinguishable for colour-blind people (Okabe and Ito's palette), on light and on dark."""

FRONT = "#d55e00"
TRIAL = "#0072b2"
REFERENCE = "#7a4a8f"
GOOD = "#00795a"
MUTED = "#6b7280"
INK = "#1b1f24"
GRID = "#dde1e6"
STRIPES = "#fdfefe"
"""Pattern on coloured bars."""
WHOLE, ATTENTION_ONLY, FFN_ONLY, PARTLY, SKIPPED = "#084a75", "#2f80b7", "#7db8dd", "#b9d6ea", "#f0f3f6"
"""Blocks of a plan, darker where more of the block runs."""

DARK = {
    FRONT: "#ff9248",
    TRIAL: "#5ab4e8",
    REFERENCE: "#cfa3e0",
    GOOD: "#3fcf9f",
    MUTED: "#9aa4b2",
    INK: "#e7eaee",
    GRID: "#333b45",
    STRIPES: "#161b22",
    WHOLE: "#a9dcff",
    ATTENTION_ONLY: "#5aaee2",
    FFN_ONLY: "#2f76a8",
    PARTLY: "#21506f",
    SKIPPED: "#1d242c",
}
"""Colour on a light background -> on a dark one. The page replaces them in the charts."""
