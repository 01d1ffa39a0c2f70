"""What all command-line tools share: one sentence and exit status 1 where the user's input is wrong."""

import sys
from collections.abc import Callable


def run(main: Callable[[], int | None]) -> None:
    """Run a tool's `main` and exit with what it returns (None counts as 0).

    Errors that stand for wrong input (`InputError`, or any exception class with `user_input = True`) are printed as
    one sentence on standard error; every other error keeps its traceback.
    """
    try:
        status = main()
    except Exception as error:
        if not getattr(error, "user_input", False):
            raise
        print(f"error: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    sys.exit(status or 0)
