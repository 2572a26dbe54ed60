"""What the package promises to those who install it; `make wheel-check` tries the built wheel itself."""

import re
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = [
    Requirement(line)
    for line in (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
PINNED = {canonicalize_name(pin.name): str(pin.specifier) for pin in CONSTRAINTS}


def needed(requirements: list[str], extras: set[str]) -> set[NormalizedName]:
    """The names of all packages that these requirements bring to this machine."""
    found: dict[NormalizedName, set[str]] = {}
    waiting = [(Requirement(text), extras) for text in requirements]
    while waiting:
        requirement, wanted_by = waiting.pop()
        if requirement.marker and not any(
            requirement.marker.evaluate({"extra": extra}) for extra in wanted_by | {""}
        ):
            continue
        name = canonicalize_name(requirement.name)
        if name in found and requirement.extras <= found[name]:
            continue
        found[name] = found.get(name, set()) | requirement.extras
        waiting += [(Requirement(text), found[name]) for text in requires(name) or []]
    return set(found) - {PROJECT["name"]}  # an extra that holds another one names the package itself


def test_every_pin_is_exact_and_portable():
    for pin in CONSTRAINTS:
        assert re.fullmatch(r"==\d+(\.\d+)*", str(pin.specifier)), pin
        assert not pin.url
        assert not pin.marker
    names = [canonicalize_name(pin.name) for pin in CONSTRAINTS]
    assert names == sorted(set(names), key=str.lower)


def test_every_package_is_pinned_at_the_version_installed():
    everything = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    for name in needed(everything, set()):
        # What follows the plus sign names a build, such as torch's for the CPU.
        assert PINNED.get(name) == f"=={version(name).partition('+')[0]}", name


def test_the_citation_is_that_of_this_version():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    paper = citation["preferred-citation"]
    assert paper["title"] == "Unconditional Image-Text Pair Generation With Multimodal Cross Quantizer"
    assert [author["family-names"] for author in paper["authors"]] == ["Lee", "Park", "Lee", "Choi"]


@pytest.mark.parametrize(
    "weights", sorted((REPOSITORY / "src" / "mxqvae" / "weights").iterdir()), ids=lambda path: path.name
)
def test_weights_fit_into_the_wheel(weights: Path):
    files = [path for path in weights.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md"}
    assert sum(path.stat().st_size for path in files if path.suffix == ".safetensors") <= 15_000_000
