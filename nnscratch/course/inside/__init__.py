"""The code that runs in the processes of students' files. This code must not import a file with a solution.

main.py        the starter: a process that starts a process for each file, with NumPy imported already
orders.py      the format of the orders that the judge sends to the starter
service.py     the requests that the judge sends to the process of a file
sandbox.py     the limits of the process of a file
imports.py     the imports that are allowed in a student's file
"""
