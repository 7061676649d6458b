"""The model solutions, one file each. ``nnscratch exercises start`` makes the students' files from them.

A file is what the student gets, except for the parts between ``# solution: TASK`` and ``# end``. In the student's file,
each of these is replaced by a comment ``TODO: TASK`` and a line that raises an error.
"""
