"""The code that runs in the process of the students' files. It must not import a file that contains a solution.

main.py        a process that has imported NumPy, and starts a process for each file
orders.py      the format of the judge's orders
service.py     the requests that the judge sends to such a process
sandbox.py     what such a process may do
imports.py     what a student's file may import
"""
