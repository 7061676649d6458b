"""How fast, beside others: the same work from the same numbers, in turns.

    jobs.py          what is to be done: sizes, first weights, data
    ours.py          each job by this package           a peer is a module with build(job, variant); those for the
    pytorch.py       each job by PyTorch                other libraries are in the repository, benchmarks/peers/
    worker.py        one library at one job, in a process of its own
    runner.py        takes the workers in turns; medians, ratios
    report.py        Markdown and JSON

jobs, worker and the peers import nothing of the rest of this package: the memory measured is the library's own.
"""
