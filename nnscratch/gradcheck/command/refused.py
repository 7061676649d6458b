"""The error for code that cannot be checked. This class has its own file, so that other files can import it quickly."""


class Refused(Exception):
    """The code cannot be checked. The message is printed unchanged."""
