"""The orders that the judge sends over a socket to the starter, which starts a process for each file.

f SEED, SECONDS, MEMORY    start a process; two pipes come with the order. The reply is the id of the process, and 0
e PID, 0, 0                kill a process. The reply is its wait status, and its processor time in microseconds
"""

import struct

ORDER = struct.Struct(">cqqq")
REPLY = struct.Struct(">qq")
REQUESTS, REPLIES = 3, 4  # the descriptors of the pipes in the new process
