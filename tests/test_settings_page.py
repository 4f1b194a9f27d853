"""The reference of the settings agrees with the code; `python -m tests.test_settings_page` writes docs/settings.md."""

from pathlib import Path

from search.setting_options import Setting, settings_of
from search.settings import FREE_TO_CHANGE, PANELS

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
INTRODUCTION = """# Settings

All settings of a search, made from the code. Each is an option of `search.run`, a keyword of `search.run(...)` in
Python (`--max-flops` is `max_flops`), and, by the name in the second column, a key of a YAML file for `--config`; a dot
is a level of the file. The command line wins over the file. The resolved settings are stored with the run, without
passwords. **Free** settings may change when a run is continued; with another value of any other setting the search
refuses to continue it.
"""


def row(setting: Setting) -> str:
    """Return the row of a setting: option, key, default, whether it may change, meaning."""
    extra, default = setting.field.json_schema_extra, setting.field.get_default(call_default_factory=True)
    shown = extra["shown"] if isinstance(extra, dict) else default
    value = "" if shown is None or shown == () else f"`{shown}`"
    free = "free" if setting.path.partition(".")[0] in FREE_TO_CHANGE else ""
    meaning = " ".join((setting.field.description or "").split()).replace("|", "\\|")
    return f"| `{setting.flag}` | `{setting.path}` | {value} | {free} | {meaning} |"


def page() -> str:
    """Return the text of the page."""
    parts = [INTRODUCTION]
    for panel in PANELS:
        rows = [row(setting) for setting in settings_of() if setting.panel == panel]
        parts.append(
            "\n".join([f"## {panel}\n", "| option | key | default | | meaning |", "|---|---|---|---|---|", *rows])
        )
    return "\n".join(part.rstrip() + "\n" for part in parts)


def test_the_page_is_what_the_settings_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.test_settings_page"


def test_every_option_is_on_the_page_once() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(text.count(f"| `{setting.flag}` | `{setting.path}` |") == 1 for setting in settings_of())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
