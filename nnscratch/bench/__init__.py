"""The benchmark: measure this package and other libraries on the same jobs, from the same initial weights.

    jobs.py          the jobs: sizes, initial weights, data
    ours.py          each job written with this package
    pytorch.py       each job written with PyTorch; for other libraries, see benchmarks/peers/ in the repository
    worker.py        a process that runs one job with one library
    runner.py        runs the workers in turns, and computes medians and ratios
    report.py        results as Markdown and JSON

A *peer* is a module with a function build(job, variant), such as pytorch.py. jobs, worker and the peers do not import
the rest of this package. So the measured memory contains only the measured library.
"""
