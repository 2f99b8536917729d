# The rows in NumPy: python3 peer_numpy.py ROW THREADS BUDGET_MS prints one JSON line, nothing for a row that is not here.
import json
import statistics
import sys
import time

import numpy as np


def hashes(seed, n):
    h = np.arange(n, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed * 40503 + 12345)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


def data(seed, shape, scale=1.0):
    values = scale * ((hashes(seed, int(np.prod(shape))) >> np.uint32(8)) * 2.0**-23 - 1)
    return values.astype(np.float32).reshape(shape)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def e3(x):
    t = np.tanh(x) * x + np.float32(0.5)
    s = sigmoid(t)
    u = s * t * np.float32(0.5)
    v = (np.exp(u) - 1) * x
    w = (np.tanh(v) + t) * np.float32(0.7)
    q = sigmoid(w) * w
    r = (q + x) * np.float32(0.3)
    return (np.exp(r) - q) * np.float32(0.25) + 1


K, C = np.float32(0.7978845608), np.float32(0.044715)


def gelu(x):
    return np.float32(0.5) * x * (1 + np.tanh(K * (x + C * x * x * x)))


def gelu_both(x, g):
    t = np.tanh(K * (x + C * x * x * x))
    half = np.float32(0.5)
    slope = half * (1 + t) + half * x * (1 - t * t) * K * (1 + 3 * C * x * x)
    return half * x * (1 + t), g * slope


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def layer_norm(x, scale, shift):
    d = x - x.mean(1, keepdims=True)
    return d / np.sqrt(np.mean(d * d, 1, keepdims=True) + np.float32(1e-5)) * scale + shift


def logsumexp(x):
    top = x.max(1)
    return np.log(np.exp(x - top[:, None]).sum(1)) + top


def chain(x):
    for _ in range(100):
        x = x + np.float32(1)
    return x


def largest(x, k):
    part = np.partition(x, -k, 1)[:, -k:]
    part.sort(1)
    return part[:, ::-1]


def taken_rows(seed, count, extent):
    return ((hashes(99 + seed // 10, count) >> np.uint32(8)) % np.uint32(extent)).astype(np.int64)


small = lambda a, b: a + np.float32(0.2) + b * np.float32(0.3)
ROWS = {
    "E1_call": (small, [((2, 3, 4), 1), ((3, 4), 1)]),
    "E2": (small, [((1 << 24,), 1), ((1 << 24,), 1)]),
    "E3": (e3, [((1 << 22,), 1)]),
    "E4_fwd": (gelu, [((4096, 1024), 3)]),
    "E4_fwdbwd": (gelu_both, [((4096, 1024), 3), ((4096, 1024), 1)]),
    "R1": (lambda x: x.sum(1), [((4096, 4096), 1)]),
    "R2": (lambda x: x.sum(0), [((4096, 4096), 1)]),
    "R3": (softmax, [((8192, 1024), 3)]),
    "R4": (layer_norm, [((8192, 768), 3), ((768,), 1), ((768,), 1)]),
    "R5": (lambda x: x.var(), [((1 << 24,), 1)]),
    "R6": (logsumexp, [((8192, 1024), 3)]),
    "M1": (lambda a, b: a @ b, [((1024, 1024), 1), ((1024, 1024), 1)]),
    "M2": (lambda x, w, b: np.maximum(x @ w + b, 0), [((64, 784), 1), ((784, 512), 1), ((512,), 1)]),
    "M3": (lambda a, b: a @ b, [((64, 128, 64), 1), ((64, 64, 128), 1)]),
    "D2": (chain, [((), 1)]),
    "S1": (np.sort, [((1 << 20,), 1)]),
    "S2": (np.sort, [((1024, 1024), 1)]),
    "S3": (lambda x: largest(x, 16), [((8192, 1024), 1)]),
    "K1": (lambda x: np.cumsum(x, 1), [((8192, 1024), 1)]),
    "K2": (np.cumsum, [((1 << 22,), 1)]),
    "G1": (lambda x, at: np.take(x, at, 0), [((100000, 64), 1), (taken_rows, (65536, 100000))]),
}


class Mlp:
    widths = [784, 512, 256, 10]

    def __init__(self):
        sizes = list(zip(self.widths, self.widths[1:]))
        self.w = [data(2 + i, s, 1 / np.sqrt(np.float32(s[0]))) for i, s in enumerate(sizes)]
        self.b = [np.zeros(s[1], np.float32) for s in sizes]
        self.speed = [np.zeros_like(p) for p in self.w + self.b]

    def step(self, x, target):
        acts = [x]
        for i, (w, b) in enumerate(zip(self.w, self.b)):
            h = acts[-1] @ w + b
            acts.append(np.maximum(h, 0) if i < 2 else h)
        scores = acts.pop()
        rows = np.arange(len(x))
        shifted = scores - scores.max(1, keepdims=True)
        e = np.exp(shifted)
        total = e.sum(1, keepdims=True)
        loss = np.mean(np.log(total[:, 0]) - shifted[rows, target])
        g = e / total
        g[rows, target] -= 1
        g /= np.float32(len(x))
        grads = [None] * 6
        for i in (2, 1, 0):
            grads[i], grads[3 + i] = acts[i].T @ g, g.sum(0)
            if i:
                g = (g @ self.w[i].T) * (acts[i] > 0)
        for speed, grad, p in zip(self.speed, grads, self.w + self.b):
            speed *= np.float32(0.9)
            speed += grad
            p -= np.float32(0.01) * speed
        return loss


def clock(call, budget):
    for i in range(3):
        call(i % 2)
    begin, warm = time.perf_counter(), 0
    while warm == 0 or time.perf_counter() - begin < budget / 10:
        call(warm % 2)
        warm += 1
    batch = max(1, int(2e-4 / ((time.perf_counter() - begin) / warm)))
    samples, end, i = [], time.perf_counter() + budget, 0
    while len(samples) < 5 or (time.perf_counter() < end and len(samples) < 2000):
        begin = time.perf_counter()
        for _ in range(batch):
            call(i % 2)
            i += 1
        samples.append((time.perf_counter() - begin) / batch * 1e3)
    return samples


def main():
    row, threads, budget = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1e3
    if row == "T1":
        mlp = Mlp()
        batches = [(data(1 + 10 * s, (128, 784)), ((hashes(99 + s, 128) >> np.uint32(8)) % 10).astype(np.int64)) for s in (0, 1)]
        losses = [float(mlp.step(*batches[0])) for _ in range(10)]
        total, absolute = losses[0], losses[9]
        samples = clock(lambda s: mlp.step(*batches[s]), budget)
    elif row in ROWS:
        call, inputs = ROWS[row]
        make = lambda seed, what, how: what(seed, *how) if callable(what) else data(seed, what, how)
        sets = [[make(1 + i + 10 * s, *given) for i, given in enumerate(inputs)] for s in (0, 1)]
        out = call(*sets[0])
        total = absolute = 0.0
        for part in out if isinstance(out, tuple) else (out,):
            total += float(np.sum(part, dtype=np.float64))
            absolute += float(np.sum(np.abs(part), dtype=np.float64))
        samples = clock(lambda s: call(*sets[s]), budget)
    else:
        return
    print(json.dumps({"row": row, "engine": "numpy", "threads": threads, "ms": statistics.median(samples),
                      "min_ms": min(samples), "samples": len(samples), "sum": total, "absolute": absolute}))


main()
