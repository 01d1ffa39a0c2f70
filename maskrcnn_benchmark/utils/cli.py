"""What all command-line tools share: one sentence and exit status 1 where the user's input is wrong."""

import sys
from collections.abc import Callable


def run(main: Callable[[], int | None]) -> None:
    """Run a tool's `main` and exit with what it returns (None counts as 0).

    Errors that stand for wrong input (`InputError`, or any exception class with `user_input = True`) are printed as
    one sentence on standard error; every other error keeps its traceback. An exception may have an exit status of its
    own, `exit_status`: then it is no error, but an end that says so (`utils.preemption.Preempted`).
    """
    try:
        status = main()
    except Exception as error:
        own_status = getattr(error, "exit_status", None)
        if own_status is None and not getattr(error, "user_input", False):
            raise
        print(f"error: {error}" if own_status is None else error, file=sys.stderr)
        status = own_status or 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    sys.exit(status or 0)
