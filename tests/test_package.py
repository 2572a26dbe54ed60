import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mxqvae


def test_importing_the_package_imports_nothing_heavy():
    script = "import sys, mxqvae; print(*sorted({'torch', 'numpy', 'pydantic', 'tyro'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


@pytest.mark.parametrize("name", mxqvae.__all__)
def test_every_public_name_is_there(name: str):
    assert getattr(mxqvae, name) is not None
    assert name in dir(mxqvae)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        _ = mxqvae.nothing_of_ours


def test_version_is_that_of_the_project():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert mxqvae.__version__ == project["project"]["version"]
