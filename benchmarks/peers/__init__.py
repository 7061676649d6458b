"""The other libraries of the comparison. Each module has ``build(job, variant)``; see nnscratch/bench/worker.py.

These modules import nothing of nnscratch, so the measured memory is that of the library alone.
"""
