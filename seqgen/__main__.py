"""Start the program: `seqgen`, or `python -m seqgen`."""

import signal


def main() -> None:
    """Run the command line. During its imports Ctrl-C ends the process, without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from seqgen.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
