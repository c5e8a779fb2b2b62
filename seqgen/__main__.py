"""`python -m seqgen`, the same as `seqgen`."""

from seqgen.cli.main import main

if __name__ == "__main__":
    main()
