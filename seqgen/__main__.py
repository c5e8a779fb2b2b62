"""`python -m seqgen`, the same as `seqgen`."""

from seqgen.cli.main import main

main()
