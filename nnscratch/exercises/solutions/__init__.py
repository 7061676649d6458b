"""The model solutions, one file each. ``nnscratch exercises start`` makes the students' files from them.

The student gets a changed copy of the file. In this copy, each part between ``# solution: TASK`` and ``# end`` is
replaced by a comment ``TODO: TASK`` and a line that raises an error.
"""
