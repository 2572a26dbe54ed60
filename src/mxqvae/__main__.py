"""`python -m mxqvae` is `mxqvae`."""

from mxqvae.cli.main import main

raise SystemExit(main())
