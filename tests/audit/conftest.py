import pytest

from mxqvae.audit.auditor import PairAuditor


@pytest.fixture(scope="session")
def auditor() -> PairAuditor:
    """The shipped stage 1."""
    return PairAuditor.from_pretrained()
