"""The orders that the judge sends over a socket to the starter, which starts a process for each file.

The judge is the process that decides the marks (judging.py).

f SEED, SECONDS, MEMORY    start a process. The order comes with two pipes, for the requests to the process and for
                           its replies. The starter replies with the id of the process, and 0
e PID, 0, 0                kill a process. The starter replies with the wait status of the process, and with its
                           processor time in microseconds
"""

import struct

ORDER = struct.Struct(">cqqq")
REPLY = struct.Struct(">qq")
REQUESTS, REPLIES = 3, 4  # the descriptors of the pipes in the new process
