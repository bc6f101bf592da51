"""The Pythons that we say we run on are the ones that are tested."""

import configparser
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_classifiers_tox_and_readme_name_the_same_pythons() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    classified = re.findall(r"Programming Language :: Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    environments = [f"3.{minor}" for minor in re.findall(r"\bpy3(\d+)\b", tox["tox"]["env_list"])]
    *first, last = classified
    assert environments == classified
    assert project["requires-python"] == f">={classified[0]}"
    assert f"Python {', '.join(first)} and {last}" in " ".join((ROOT / "README.md").read_text().split())
