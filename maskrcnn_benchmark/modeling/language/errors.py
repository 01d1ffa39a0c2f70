"""The error that stands for wrong input of the user: a configuration key, a file, a class name."""


class LanguageError(ValueError):
    """One sentence that names the key or the file, what was found, what was expected and what to do.

    The host's command-line tools print errors whose class has `user_input = True` without a traceback. The plugin has
    its own class because an original SGB checkout has none.
    """

    user_input = True
