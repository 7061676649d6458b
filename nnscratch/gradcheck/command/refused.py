"""The error for code that cannot be checked. It has a file of its own because it is needed where little is imported."""


class Refused(Exception):
    """The code cannot be checked. The message is printed as it is."""
