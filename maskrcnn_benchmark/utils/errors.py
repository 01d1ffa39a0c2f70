"""The error that means: what the user gave is wrong, and one sentence says how."""


class InputError(ValueError):
    """Wrong input of the user: a configuration, a file, an argument.

    The message is one sentence that names the file, the key or the image, what was found and what was expected.
    The command-line tools print it without a traceback and exit with status 1 (`maskrcnn_benchmark.utils.cli`).
    """

    user_input = True  # plugins that cannot import this class mark their own error class in the same way
