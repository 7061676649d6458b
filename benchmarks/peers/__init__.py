"""The libraries that we are measured beside; each module has ``build(job, variant)``, see nnscratch/bench/worker.py.

They import nothing of ours: the memory measured is the library's own.
"""
