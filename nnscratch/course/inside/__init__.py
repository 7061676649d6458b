"""The code that runs in the process of the students' files. It must import nothing that holds an answer.

main.py        starts a process for each file, from one that has imported NumPy already
orders.py      the format of the judge's orders
service.py     the requests that the judge sends to such a process
sandbox.py     what such a process may do
imports.py     what a student's file may import
"""
