"""The GPU versions of one time step of LSTM, GRU and RNN, in C.

Each constant holds the arguments of :func:`~nnscratch.backend.fused`: inputs, outputs, and the C code for one element.
The NumPy function of the same name in lstm.py, gru.py or rnn.py computes the same. Tests hold the two equal.
"""
