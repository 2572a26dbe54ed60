"""The one exception that a user can cause."""


class MxqvaeError(Exception):
    """Bad input, said in one line: what is wrong, by name, and what to do about it.

    The command line prints the message and exits with code 2; nothing ends in a traceback.
    """
