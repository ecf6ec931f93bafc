"""DEPICT by loops: targets, divergences and the loss of the released code, from Dizaji et al. (2017)."""

import math

import torch
from torch.nn import functional as F


def targets(p, power, root):
    """q_ik ~ p_ik^power / (sum_i' p_i'k)^root, as nested lists."""
    n, m = len(p), len(p[0])
    found = []
    for i in range(n):
        weights = []
        for k in range(m):
            mass = sum(p[j][k] for j in range(n))
            weights.append(p[i][k] ** power / mass**root)
        found.append([w / sum(weights) for w in weights])
    return found


def kl_rows(q, p):
    """1/n sum_i KL(q_i || p_i)."""
    total = 0.0
    for q_i, p_i in zip(q, p):
        total += sum(a * math.log(a / b) for a, b in zip(q_i, p_i))
    return total / len(q)


def kl_uniform(q):
    """KL(f || u) for the shares f_k = 1/n sum_i q_ik."""
    n, m = len(q), len(q[0])
    shares = [sum(row[k] for row in q) / n for k in range(m)]
    return sum(f * math.log(f * m) for f in shares)


def encode(ladder, x):
    """Hidden layers as images or vectors, and the code, of one centred row (f,), without noise."""
    value, hidden = x[None], []
    if ladder.image_shape:
        h, w, c = ladder.image_shape
        value = torch.empty(1, c, h, w)
        for i in range(h):
            for j in range(w):
                for k in range(c):
                    value[0, k, i, j] = x[(i * w + j) * c + k]
    for layer in ladder.down:
        if ladder.image_shape:
            value = F.conv2d(value, layer.weight, layer.bias, layer.stride, layer.padding)
        else:
            value = value @ layer.weight.T + layer.bias
        value = torch.where(value > 0, value, 0.01 * value)
        hidden.append(value)
    top = value.permute(0, 2, 3, 1).reshape(1, -1) if ladder.image_shape else value
    return hidden, torch.tanh(top @ ladder.code.weight.T + ladder.code.bias)


def decode(ladder, z):
    """Reconstructions from the topmost hidden layer down to the row, for one code (1, d)."""
    value = z @ ladder.uncode.weight.T + ladder.uncode.bias
    value = torch.where(value > 0, value, 0.01 * value)
    if ladder.image_shape:
        value = value.reshape(1, *ladder.hidden_shape).permute(0, 3, 1, 2)
    found = [value]
    for i, layer in enumerate(ladder.up):
        if ladder.image_shape:
            value = F.conv_transpose2d(
                value, layer.weight, layer.bias, layer.stride, layer.padding, layer.output_padding
            )
        else:
            value = value @ layer.weight.T + layer.bias
        if i < len(ladder.up) - 1:
            value = torch.where(value > 0, value, 0.01 * value)
            found.append(value)
    found.append(torch.tanh(value) if ladder.bounded else value)
    return found


def loss(module, x, q, hidden_weight):
    """The code's loss for prepared rows x (b, f) without noise: L_rec with hidden layers, plus the cross-entropy."""
    ladder, total = module.ladder, torch.zeros(())
    for row, target in zip(x, q):
        centred = 2 * row - 1 if ladder.bounded else row
        hidden, z = encode(ladder, centred)
        up = decode(ladder, z)
        out = up[-1].permute(0, 2, 3, 1).reshape(-1) if ladder.image_shape else up[-1].reshape(-1)
        total = total + ((out - centred) ** 2).mean()
        for clean, rebuilt in zip(reversed(hidden), up[:-1]):
            total = total + hidden_weight * ((clean - rebuilt) ** 2).mean()
        logits = []
        for theta in module.mixture.means:
            if type(module.mixture).__name__ == "SoftmaxMixture":
                logits.append((theta * z[0]).sum())
            else:
                logits.append(-0.5 * ((z[0] - theta) ** 2).sum())
        norm = torch.stack(logits).exp().sum().log()
        total = total - sum(t * (logit - norm) for t, logit in zip(target, logits))
    return total / len(x)
