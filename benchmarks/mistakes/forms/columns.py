"""deeplearning.ai's forms: examples are columns, gradients are divided by m, and everything is in dictionaries."""

from __future__ import annotations

import numpy as np

from .variants import normal, variants

FORM = "examples in columns"


@variants(
    FORM,
    dW2_without_1_over_m="scaled by a constant",
    all_without_1_over_m="scaled by a constant",
    db1_over_units="summed over the wrong axis",
    dW1_of_the_first_example="one sample counted",
    dZ1_without_tanh="activation's derivative missing",
    dZ1_tanh_at_Z="derivative taken at the wrong value",
    dZ1_one_minus_A="activation's derivative wrong",
    dZ2_with_sigmoid_derivative="activation's derivative applied twice",
    dZ2_without_Y="target's share missing",
    dZ2_sign="sign flipped",
    dW2_from_Z1="the wrong array used",
    dW1_from_A1="the wrong array used",
    W2_not_transposed="transposed",
    db2_summed_over_all_and_not_divided="scaled by a constant",
    dW1_transposed="transposed",
)
def planar_network(kind):
    X, Y = normal(1, 4, 4), (normal(2, 4, 4) > 0).astype(float)

    def model(parameters):
        W1, b1, W2, b2 = (parameters[k] for k in ("W1", "b1", "W2", "b2"))
        m = X.shape[1]
        Z1 = np.dot(W1, X) + b1
        A1 = np.tanh(Z1)
        Z2 = np.dot(W2, A1) + b2
        A2 = 1 / (1 + np.exp(-Z2))
        cost = -np.sum(Y * np.log(A2) + (1 - Y) * np.log(1 - A2)) / m

        dZ2 = A2 - Y
        if kind == "dZ2_with_sigmoid_derivative":
            dZ2 = (A2 - Y) * A2 * (1 - A2)
        if kind == "dZ2_without_Y":
            dZ2 = A2
        if kind == "dZ2_sign":
            dZ2 = Y - A2
        one = 1 if kind == "all_without_1_over_m" else 1 / m
        dW2 = (1 if kind == "dW2_without_1_over_m" else one) * np.dot(dZ2, (Z1 if kind == "dW2_from_Z1" else A1).T)
        db2 = one * np.sum(dZ2, axis=1, keepdims=True)
        if kind == "db2_summed_over_all_and_not_divided":
            db2 = np.sum(dZ2, axis=1, keepdims=True)
        dA1 = np.dot(W2 if kind == "W2_not_transposed" else W2.T, dZ2)
        dZ1 = dA1 * (1 - np.power(A1, 2))
        if kind == "dZ1_without_tanh":
            dZ1 = dA1
        if kind == "dZ1_tanh_at_Z":
            dZ1 = dA1 * (1 - np.power(Z1, 2))
        if kind == "dZ1_one_minus_A":
            dZ1 = dA1 * (1 - A1)
        dW1 = one * np.dot(dZ1, (A1 if kind == "dW1_from_A1" else X).T)
        if kind == "dW1_of_the_first_example":
            dW1 = one * np.dot(dZ1[:, :1], X[:, :1].T)
        if kind == "dW1_transposed":
            dW1 = dW1.T
        db1 = one * np.sum(dZ1, axis=0 if kind == "db1_over_units" else 1, keepdims=True)
        if kind == "db1_over_units":
            db1 = db1.T
        return cost, {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2}

    parameters = {"W1": normal(3, 4, 4), "b1": normal(4, 4, 1), "W2": normal(5, 4, 4), "b2": normal(6, 4, 1)}
    return model, (parameters,), {}


@variants(
    FORM,
    relu_mask_forgotten="mask not applied",
    relu_mask_of_A="another mask applied",
    first_layers_derivative_only="activation's derivative missing",
    hidden_slope_at_A=("derivative taken at the wrong value", "activation's derivative wrong"),
    regularisation_forgotten="weight decay's share wrong",
    regularisation_not_divided="weight decay's share wrong",
    dropout_not_scaled="keep-probability not applied",
    dropout_forgotten="mask not applied",
    db_of_one_layer_is_the_last_example="one sample counted",
    same_A_for_all=("the wrong array used",),
)
def deep_network(kind):
    """L layers in a loop; sigmoid units, dropout on the first hidden layer, and L2 regularisation."""
    X, Y = normal(7, 3, 5), np.array([[1.0, 0.0, 0.0, 1.0, 1.0]])
    D = (np.random.default_rng(9).random((4, 5)) < 0.7).astype(float)
    lambd, keep_prob, L = 0.7, 0.7, 3

    def sigmoid(Z):
        return 1 / (1 + np.exp(-Z))

    def forward(parameters):
        A, caches = X, []
        for n in range(1, L + 1):
            A_prev = A
            Z = np.dot(parameters["W" + str(n)], A_prev) + parameters["b" + str(n)]
            A = np.maximum(0, Z) if n == 1 else sigmoid(Z)
            if n == 1:
                A = A * D
                A /= keep_prob
            caches.append((A_prev, Z, A))
        m = Y.shape[1]
        cost = -np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A)) / m
        cost += lambd / (2 * m) * sum(np.sum(np.square(parameters["W" + str(n)])) for n in range(1, L + 1))
        return cost, (parameters, caches)

    def backward(cache):
        parameters, caches = cache
        m, grads = Y.shape[1], {}
        dZ = None
        for n in range(L, 0, -1):
            A_prev, Z, A = caches[n - 1]
            if n == L:
                dZ = A - Y
            elif n == 1:
                dA = np.dot(parameters["W2"].T, dZ)
                if kind != "dropout_forgotten":
                    dA = dA * D
                if kind != "dropout_not_scaled":
                    dA = dA / keep_prob
                dZ = dA if kind == "relu_mask_forgotten" else dA * (Z > 0)
                if kind == "relu_mask_of_A":
                    dZ = dA * (Z > 1.0)
            else:
                dA = np.dot(parameters["W" + str(n + 1)].T, dZ)
                s = sigmoid(A if kind == "hidden_slope_at_A" else Z)
                dZ = dA if kind == "first_layers_derivative_only" else dA * s * (1 - s)
            if kind == "same_A_for_all" and n == L:
                A_prev = Z * 0 + caches[n - 2][1]
            decay = lambd * parameters["W" + str(n)] / (1 if kind == "regularisation_not_divided" else m)
            grads["dW" + str(n)] = np.dot(dZ, A_prev.T) / m + (0 if kind == "regularisation_forgotten" else decay)
            grads["db" + str(n)] = np.sum(dZ, axis=1, keepdims=True) / m
            if kind == "db_of_one_layer_is_the_last_example" and n == 2:
                grads["db2"] = dZ[:, -1:] / m
        return grads

    def model(parameters):
        cost, cache = forward(parameters)
        return cost, backward(cache)

    parameters = {"W1": normal(10, 4, 3), "b1": normal(11, 4, 1), "W2": normal(12, 4, 4), "b2": normal(13, 4, 1)}
    parameters |= {"W3": normal(14, 1, 4), "b3": normal(15, 1, 1)}
    return model, (parameters,), {}


@variants(
    FORM,
    dWaa_from_a_next="the wrong array used",
    dtanh_forgotten="activation's derivative missing",
    dtanh_of_one_minus_a="activation's derivative wrong",
    dba_not_summed=("sum over the batch missing", "broadcast axis not summed"),
    da_prev_with_Wax="the wrong array used",
    dWax_last_example="one sample counted",
    da_next_forgotten="upstream gradient missing",
)
def rnn_cell(kind):
    def rnn_cell_forward(xt, a_prev, parameters):
        Wax, Waa, ba = parameters["Wax"], parameters["Waa"], parameters["ba"]
        a_next = np.tanh(np.dot(Waa, a_prev) + np.dot(Wax, xt) + ba)
        return a_next, (a_next, a_prev, xt, parameters)

    def rnn_cell_backward(da_next, cache):
        a_next, a_prev, xt, parameters = cache
        Wax, Waa = parameters["Wax"], parameters["Waa"]
        if kind == "da_next_forgotten":
            da_next = 1
        dtanh = (1 - a_next**2) * da_next
        if kind == "dtanh_forgotten":
            dtanh = da_next
        if kind == "dtanh_of_one_minus_a":
            dtanh = (1 - a_next) * da_next
        dxt = np.dot(Wax.T, dtanh)
        dWax = np.dot(dtanh, xt.T)
        if kind == "dWax_last_example":
            dWax = np.dot(dtanh[:, -1:], xt[:, -1:].T)
        da_prev = np.dot((Wax if kind == "da_prev_with_Wax" else Waa).T, dtanh)
        dWaa = np.dot(dtanh, (a_next if kind == "dWaa_from_a_next" else a_prev).T)
        dba = dtanh if kind == "dba_not_summed" else np.sum(dtanh, axis=1, keepdims=True)
        return {"dxt": dxt, "da_prev": da_prev, "dWax": dWax, "dWaa": dWaa, "dba": dba}

    parameters = {"Wax": normal(16, 4, 4), "Waa": normal(17, 4, 4), "ba": normal(18, 4, 1)}
    return (rnn_cell_forward, rnn_cell_backward), (normal(19, 4, 5), normal(20, 4, 5), parameters), {}


@variants(
    FORM,
    dft_without_c_prev="a factor missing",
    dft_from_c_next="the wrong array used",
    dit_from_the_input_gate="the wrong array used",
    dcct_tanh_at_the_wrong_place=("activation's derivative wrong", "derivative taken at the wrong value"),
    dc_prev_without_the_gate="a factor missing",
    dc_next_forgotten=("the state's own path missing", "a path missing"),
    dot_slope_forgotten="activation's derivative missing",
    tanh_of_c_forgotten="activation's derivative missing",
    dit_and_dft_exchanged=("two gates swapped", "two gradients exchanged"),
    dbo_never_filled="gradient never computed",
)
def lstm_cell(kind):
    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    def lstm_cell_forward(xt, a_prev, c_prev, parameters):
        concat = np.concatenate((a_prev, xt), axis=0)
        ft = sigmoid(np.dot(parameters["Wf"], concat) + parameters["bf"])
        it = sigmoid(np.dot(parameters["Wi"], concat) + parameters["bi"])
        cct = np.tanh(np.dot(parameters["Wc"], concat) + parameters["bc"])
        c_next = ft * c_prev + it * cct
        ot = sigmoid(np.dot(parameters["Wo"], concat) + parameters["bo"])
        a_next = ot * np.tanh(c_next)
        return (a_next, c_next), (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters)

    def lstm_cell_backward(d, cache):
        da_next, dc_next = d
        a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters = cache
        n_a = a_next.shape[0]
        dot = da_next * np.tanh(c_next) * (1 if kind == "dot_slope_forgotten" else ot * (1 - ot))
        through = da_next * ot * (1 if kind == "tanh_of_c_forgotten" else 1 - np.tanh(c_next) ** 2)
        dc = through if kind == "dc_next_forgotten" else dc_next + through
        dcct = dc * it * (1 - (np.tanh(c_next) if kind == "dcct_tanh_at_the_wrong_place" else cct) ** 2)
        dit = dc * (it if kind == "dit_from_the_input_gate" else cct) * it * (1 - it)
        dft = dc * {"dft_without_c_prev": 1, "dft_from_c_next": c_next}.get(kind, c_prev) * ft * (1 - ft)
        if kind == "dit_and_dft_exchanged":
            dit, dft = dft, dit
        concat = np.concatenate((a_prev, xt), axis=0).T
        grads = {}
        for name, g in (("f", dft), ("i", dit), ("c", dcct), ("o", dot)):
            grads["dW" + name] = np.dot(g, concat)
            grads["db" + name] = np.sum(g, axis=1, keepdims=True)
        if kind == "dbo_never_filled":
            grads["dbo"] = np.zeros_like(grads["dbo"])
        W = parameters
        dconcat = W["Wf"].T @ dft + W["Wi"].T @ dit + W["Wc"].T @ dcct + W["Wo"].T @ dot
        grads["da_prev"], grads["dxt"] = dconcat[:n_a], dconcat[n_a:]
        grads["dc_prev"] = dc * (1 if kind == "dc_prev_without_the_gate" else ft)
        return grads

    parameters = {}
    for k, name in enumerate("fico"):
        parameters["W" + name], parameters["b" + name] = normal(21 + k, 3, 5), normal(31 + k, 3, 1)
    return (
        (lstm_cell_forward, lstm_cell_backward),
        (normal(41, 2, 4), normal(42, 3, 4), normal(43, 3, 4), parameters),
        {},
    )
