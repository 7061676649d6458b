"""The libraries that are compared, in the order of the columns of the table."""

from pathlib import Path

from nnscratch.bench.runner import OURS, PYTORCH, Library

ROOT = Path(__file__).parents[1]
DEZERO = "import numpy; numpy.int = int; import dezero"  # it uses np.int, which NumPy 1.24 removed
LIBRARIES = [
    OURS,
    *PYTORCH,
    Library("jax", "JAX", "benchmarks.peers.with_jax", "import jax, jax.numpy"),
    Library("sklearn", "scikit-learn", "benchmarks.peers.with_sklearn", "import sklearn.neural_network"),
    Library("dezero", "DeZero", "benchmarks.peers.with_dezero", DEZERO),
    Library("autograd", "autograd", "benchmarks.peers.with_autograd", "import autograd, autograd.numpy"),
    Library("mygrad", "MyGrad", "benchmarks.peers.with_mygrad", "import mygrad, mygrad.nnet"),
]
