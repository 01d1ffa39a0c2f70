"""What all command-line tools share: one sentence and exit status 1 where input or surroundings are wrong."""

import os
import sys
from collections.abc import Callable


def run(main: Callable[[], int | None]) -> None:
    """Run a tool's `main` and exit with what it returns (None counts as 0).

    Errors that stand for wrong input (`InputError`, or any exception class with `user_input = True`) are printed as
    one sentence on standard error, and so are those of the surroundings: a folder that cannot be written, a full disk,
    a file where a folder should be, memory that is not there. Every other error keeps its traceback. An exception may
    have an exit status of its own, `exit_status`: then it is no error, but an end that says so
    (`utils.preemption.Preempted`).
    """
    try:
        status = main()
    except BrokenPipeError:  # who reads our output has stopped
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except (OSError, MemoryError) as error:
        if getattr(error, "user_input", False):
            print(f"error: {error}", file=sys.stderr)
        else:
            print(f"error: {surroundings(error)}", file=sys.stderr)
        status = 1
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


def surroundings(error: OSError | MemoryError) -> str:
    """What is wrong with the machine, as a sentence."""
    if isinstance(error, MemoryError):
        return f"the memory of this machine does not suffice{f' ({error})' if str(error) else ''}"
    places = [str(place) for place in (error.filename, error.filename2) if place]
    said = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return f"{' -> '.join(places)}: {said}" if places else said
