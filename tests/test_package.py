"""The files around the code keep their word: versions, targets, licence, paths, README, configs."""

import ast
import importlib
import importlib.util
import inspect
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Written so that the patterns do not find themselves.
REGISTRY = re.compile(r"py[p]i\.(org|python)|python[h]osted|npm[j]s\.|download\.py[t]orch|conda\.[a]naconda", re.I)
MACHINE = re.compile(r"(?<![\w.~-])/(?:home|root|work|tmp|opt|mnt|Users|scratch)/\w")
PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==\d[A-Za-z0-9.+!]*")


def text_files(root: Path) -> dict[Path, str]:
    """Every text file that the repository holds or would hold."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip(f"{root} is no git checkout, so its files are not known")
    texts = {}
    for name in filter(None, listed.stdout.split("\0")):
        try:
            texts[Path(name)] = (root / name).read_text()
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue  # a picture, weights, or a file deleted but not yet committed
    return texts


def offending(pattern: re.Pattern[str], texts: dict[Path, str]) -> list[str]:
    return [f"{name}: {match[0]}" for name, text in texts.items() for match in pattern.finditer(text)]


def unpinned(constraints: str) -> list[str]:
    """Lines that are no comment and no exact version."""
    lines = [line.strip() for line in constraints.splitlines()]
    return [line for line in lines if line and not line.startswith("#") and not PIN.fullmatch(line)]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def texts(root: Path) -> dict[Path, str]:
    return text_files(root)


@pytest.fixture(scope="module")
def project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


def requirements(project: dict) -> set[str]:
    extras = [name for names in project["optional-dependencies"].values() for name in names]
    return {canonicalize_name(Requirement(text).name) for text in [*project["dependencies"], *extras]}


def test_no_file_names_a_registry_host(texts: dict[Path, str]) -> None:
    assert offending(REGISTRY, texts) == []


def test_no_file_holds_a_path_of_somebodys_machine(texts: dict[Path, str]) -> None:
    assert offending(MACHINE, texts) == []


def test_offending_text_is_found() -> None:
    text = "see https://py" + "pi.org/simple and /ho" + "me/me/data, but not runs/work/x or ../tmp/x"
    assert len(offending(REGISTRY, {Path("x"): text})) == 1
    assert len(offending(MACHINE, {Path("x"): text})) == 1


def test_constraints_are_exact(root: Path) -> None:
    assert unpinned((root / "constraints.txt").read_text()) == []


@pytest.mark.parametrize(
    "line", ["torch>=2", "torch", "torch @ file:torch.whl", "-e .", "--pre", "a==1; python_version<'3'", "a==*"]
)
def test_an_inexact_constraint_is_found(line: str) -> None:
    assert unpinned(f"# comment\nnumpy==2.0.1\n{line}\n") == [line]


def test_every_requirement_is_constrained(root: Path, project: dict) -> None:
    lines = (root / "constraints.txt").read_text().splitlines()
    pinned = {canonicalize_name(line.split("==")[0]) for line in lines if PIN.fullmatch(line)}
    assert requirements(project) - pinned == set()


def test_every_import_is_a_declared_requirement(root: Path, project: dict) -> None:
    base = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    ui = {canonicalize_name(Requirement(text).name) for text in project["optional-dependencies"]["ui"]}
    owners = packages_distributions()
    missing = {}
    for file in (root / "src").rglob("*.py"):
        declared = base | ui if file.stem == "ui" or file.parent.name == "ui" else base
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for top in {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"tvau"}:
                if not {canonicalize_name(owner) for owner in owners.get(top, [])} & declared:
                    missing[top] = str(file.relative_to(root))
    assert missing == {}


def test_make_help_names_every_target(root: Path) -> None:
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    makefile = (root / "Makefile").read_text()
    targets = {name for line in re.findall(r"^\.PHONY: (.*)$", makefile, re.M) for name in line.split()}
    shown = subprocess.run(["make"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert {"help", "setup", "demo", "test", "lint", "bench", "nano"} <= targets
    assert {name for name in targets if not re.search(rf"^\s*make {name}\s+\w+", shown, re.M)} == set()


def test_readme_names_the_two_commands(root: Path) -> None:
    readme = (root / "README.md").read_text()
    makefile = (root / "Makefile").read_text()
    commands = set(re.findall(r"(?:^|`)make ([a-z0-9]+)", readme, re.M))
    assert {"demo", "test"} <= commands
    assert {name for name in commands if not re.search(rf"^{name}:", makefile, re.M)} == set()


PRESETS = sorted(p.stem for p in (Path(__file__).parent.parent / "backbones").glob("*.yaml") if p.stem != "published")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fits_its_class(root: Path, name: str) -> None:
    preset = yaml.safe_load((root / "backbones" / f"{name}.yaml").read_text())
    module, _, class_name = preset["class_path"].rpartition(".")
    backbone = getattr(importlib.import_module(module), class_name)
    inspect.signature(backbone).bind(**preset["init_args"])
    assert preset["init_args"]["blocks"] == sorted(set(preset["init_args"]["blocks"]))


def test_license_is_apache_2(root: Path, project: dict) -> None:
    text = (root / "LICENSE").read_text()
    assert project["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda demo: None, ""),
        (lambda demo: (demo / "report.html").unlink(), "no report"),
        (lambda demo: (demo / "report.html").write_text("<p>nothing</p>"), "no picture"),
        (lambda demo: (demo / "heatmap" / "test.json").unlink(), "expected above"),
        (lambda demo: write_scores(demo, 0.45), "expected above"),
        (lambda demo: write_scores(demo, 1.2), "fraction in"),
        (lambda demo: write_scores(demo, float("nan")), "is nan"),
    ],
)
def test_the_check_of_the_demo_can_fail(
    root: Path, tmp_path: Path, change: Callable[[Path], object], complaint: str
) -> None:
    (tmp_path / "heatmap").mkdir()
    (tmp_path / "report.html").write_text("<table></table><img src='data:'>")
    write_scores(tmp_path, 0.9)
    change(tmp_path)
    found = "\n".join(load(root / ".ci" / "check_demo.py").problems(tmp_path))
    assert complaint in found
    assert bool(found) == bool(complaint)


def write_scores(demo: Path, frame_auc: float) -> None:
    seen = {"frame": {"micro_auc": frame_auc, "frames": 320}, "pixel": {"auroc": 0.9, "average_precision": 0.3}}
    (demo / "heatmap" / "test.json").write_text(json.dumps({"tvau": {"test_seen": seen}}))
