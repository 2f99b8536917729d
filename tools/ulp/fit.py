#!/usr/bin/env python3
"""Coefficients of the polynomials in ir/scalar_math_*.cpp that stand for special functions.

Each is the function's Chebyshev series over its interval, found by interpolation with 60 digits
(mpmath), cut at the length where the next term falls below the wanted error, turned into powers of
the variable and rounded to double. That is within a factor of two of the best polynomial of its
length. Prints the arrays, and the worst relative error seen when evaluated by Horner's rule with
exact arithmetic, as a check of the rounding alone.
"""
import sys

import numpy as np
from mpmath import mp, mpf, pi, cos, sin, log, sqrt, tanh, erfinv, erfc, exp, euler
import mpmath

mp.dps = 60


def fit(f, low, high, error, longest=60):
    """Powers of x (not shifted), smallest length whose relative error is below `error`."""
    low, high = mpf(low), mpf(high)
    n = longest
    nodes = [cos(pi * (2 * k + 1) / (2 * n)) for k in range(n)]
    values = [f((high + low) / 2 + (high - low) / 2 * t) for t in nodes]
    series = []
    for j in range(n):
        total = sum(values[k] * cos(pi * j * (2 * k + 1) / (2 * n)) for k in range(n))
        series.append(total * 2 / n / (2 if j == 0 else 1))
    smallest = min(abs(v) for v in values)
    length = next(m for m in range(1, n) if sum(abs(c) for c in series[m:]) < error * smallest)
    # Chebyshev series -> powers of t -> powers of x
    powers = [mpf(0)] * length
    before, current = [mpf(1)], [mpf(0), mpf(1)]
    for j in range(length):
        basis = before if j == 0 else current
        for i, b in enumerate(basis):
            powers[i] += series[j] * b
        if j >= 1:
            following = [mpf(0)] + [2 * c for c in current]
            for i, b in enumerate(before):
                following[i] -= b
            before, current = current, following
    scale, shift = 2 / (high - low), -(high + low) / (high - low)
    result = [mpf(0)]
    for p in reversed(powers):  # Horner in t = scale x + shift
        moved = [mpf(0)] * (len(result) + 1)
        for i, r in enumerate(result):
            moved[i] += r * shift
            moved[i + 1] += r * scale
        moved[0] += p
        result = moved
    return result[:length]


def show(name, f, low, high, error, comment=""):
    coefficients = [float(c) for c in fit(f, low, high, mpf(error))]
    worst = mpf(0)
    for k in range(301):
        x = mpf(low) + (mpf(high) - mpf(low)) * k / 300
        p = mpf(0)
        for c in reversed(coefficients):
            p = p * x + c
        exact = f(x)
        worst = max(worst, abs(p / exact - 1))
    print(f"// {comment} [{float(low):g}, {float(high):g}], {mpmath.nstr(worst, 3)}")
    print(f"constexpr double {name}[] = {{" + ", ".join(repr(c) for c in coefficients) + "};")
    sys.stdout.flush()


def weighed(name, f, weight, half_width, length, fixed=(), comment=""):
    """Float32 coefficients that make the largest |weight * error| on both sides of 0 least: least
    squares whose points count by how wrong they were (Lawson); each coefficient is rounded, then the
    rest are fitted again."""
    side = np.linspace(1e-4, half_width * 1.0005, 1500)
    x = np.concatenate([-side[::-1], side])
    y, w = np.array([float(f(mpf(v))) for v in x]), weight(x)
    found = list(fixed)
    while len(found) < length:
        powers = np.stack([x**i for i in range(len(found), length)], 1)
        rest = y - sum(c * x**i for i, c in enumerate(found))
        counts = np.ones_like(x)
        for _ in range(600):
            scale = np.sqrt(counts) * w
            c = np.linalg.lstsq(powers * scale[:, None], rest * scale, rcond=None)[0]
            counts *= np.abs(w * (powers @ c - rest))
            counts /= counts.sum()
        found.append(float(np.float32(c[0])))
    error = np.max(np.abs(w * (sum(c * x**i for i, c in enumerate(found)) - y)))
    print(f"// {comment}, {error * 2**24:.3f} * 2^-24 of the result")
    print(f"constexpr double {name}[] = {{" + ", ".join(f"{c:.9g}" for c in found) + "};")
    sys.stdout.flush()


def removable(f, *holes):
    """f, at its removable singularities from both sides."""
    def g(x):
        h = mpf(10) ** -20
        if any(abs(x - hole) < h for hole in holes):
            return (f(x + h) + f(x - h)) / 2
        return f(x)
    return g


x0 = mpmath.findroot(mpmath.digamma, mpf("1.4616321449683623"))


def stirling(w):
    x = 1 / sqrt(w)
    return x * (mpmath.loggamma(x).real - (x - mpf(1) / 2) * (log(x) - 1) - (log(2 * pi) - 1) / 2)


def digamma_tail(w):
    x = 1 / sqrt(w)
    return (log(x) - 1 / (2 * x) - mpmath.digamma(x)) / w


def inverse_of_log(w):
    """x^2 where w = -log(1 - x^2)."""
    return -mpmath.expm1(-w)


def erfinv_small(w):
    if w < mpf(10) ** -25:
        return sqrt(pi) / 2
    x = sqrt(inverse_of_log(w))
    return erfinv(x) / x


def erfinv_large(s):
    """In s = sqrt(w); 1 - x found without cancellation, then Newton on log erfc."""
    rest = exp(-s * s)
    x = sqrt(1 - rest)
    tail = rest / (1 + x)  # 1 - x
    y = s - mpf(1) / 4 if s > 1 else s
    for _ in range(200):
        step = (log(erfc(y)) - log(tail)) * erfc(y) / (2 / sqrt(pi) * exp(-y * y))
        y += step
        if abs(step) < mpf(10) ** -45:
            break
    return y / x


def far_bessel(order, u):
    """In u = 8/x; the asymptotic series where x is large."""
    if u > mpf("0.001"):
        return sqrt(8 / u) * exp(-8 / u) * mpmath.besseli(order, 8 / u)
    return mpmath.hyper([mpf(1) / 2 + order, mpf(1) / 2 - order], [], u / 16) / sqrt(2 * pi)


def mills(t):
    """For the normal distribution function N."""
    return exp(t * t / 2) * erfc(t / sqrt(2)) / 2 * (1 + mpf("1.4375") * t)


def near_zero_of(u, f):
    return f(u if u > mpf(10) ** -25 else mpf(10) ** -25)


print("x0 =", float(x0), float(x0 - mpf(float(x0))))
full = "2e-18"
half_ln2 = float(mpmath.log(2) / 2)  # as far as exponents leave an argument


def rest_of_exp(r):
    return (mpmath.expm1(r) - r) / r**2


tasks = {
    "sine": lambda: show("sine_pi", lambda z: near_zero_of(
        z, lambda v: sin(pi * sqrt(v)) / (pi * sqrt(v))), 0, "0.25", full, "sin(pi r)/(pi r) in r^2"),
    "lgamma": lambda: (
        show("lgamma_near", removable(lambda z: mpmath.loggamma(2 + z).real / (z * (1 + z)), 0, -1),
             -1, 1, "3e-18", "lgamma(2+z) / (z (1+z))"),
        show("stirling", lambda w: near_zero_of(w, stirling) if w > mpf(10) ** -12 else mpf(1) / 12
             - w / 360, 0, mpf(1) / 9, "3e-16", "of Stirling's formula, in 1/x^2")),
    "digamma": lambda: (
        show("digamma_near", removable(lambda z: mpmath.digamma(2 + z) / (2 + z - x0), x0 - 2), -1,
             1, "3e-18", "digamma(2+z) / (2+z-x0)"),
        show("digamma_tail", lambda w: digamma_tail(w) if w > mpf(10) ** -12
             else mpf(1) / 12 - w / 120, 0, mpf(1) / 9, "3e-15", "in 1/x^2")),
    "bessel": lambda: (
        show("bessel0", lambda t: mpmath.besseli(0, 2 * sqrt(t)), 0, 16, full, "I0(x) in (x/2)^2"),
        show("bessel1", lambda t: near_zero_of(t, lambda v: mpmath.besseli(1, 2 * sqrt(v)) / sqrt(v)),
             0, 16, full, "I1(x)/(x/2) in (x/2)^2"),
        show("bessel0_far", lambda v: far_bessel(0, (v + 1) / 2), -1, 1, full,
             "sqrt(x) e^-x I0(x) in 16/x - 1"),
        show("bessel1_far", lambda v: far_bessel(1, (v + 1) / 2), -1, 1, full,
             "sqrt(x) e^-x I1(x) in 16/x - 1")),
    "erfinv": lambda: (
        show("erfinv_near", lambda v: erfinv_small(v + 3), -3, 3, full,
             "erfinv(x)/x in w - 3, w = -log(1-x^2)"),
        show("erfinv_far", lambda v: erfinv_large(v + 4), mpf("2.449") - 4, mpf("6.1") - 4, full,
             "the same in sqrt(w) - 4"),
        show("erfinv_tail", lambda v: erfinv_large(1 / (v / 15 + mpf("0.1"))) * (v / 15 + mpf("0.1")),
             15 * (1 / mpf("27.5") - mpf("0.1")), 15 * (1 / mpf("6.05") - mpf("0.1")), full,
             "the same over s = sqrt(w), in 15 (1/s - 0.1)")),
    "float32": lambda: (
        show("erf_float", lambda u: near_zero_of(
            u + mpf("0.625"), lambda v: mpmath.erf(sqrt(v)) / sqrt(v) - 1), -mpf("0.625"),
             mpf("0.64"), "2e-8", "erf(x)/x - 1 in x^2 - 0.625"),
        show("erfc_float", lambda v: erfc(v + mpf("2.5")), -mpf("1.4"), mpf("1.5"), "0.1",
             "erfc(x) in x - 2.5, absolutely"),
        show("mills_float", lambda q: mills(mpf("5.625") * (1 + q) / (1 - q)), -1, mpf("0.45"),
             "8e-9", "e^(t^2/2) N(-t) (1 + 1.4375 t) in (t - 5.625)/(t + 5.625)")),
    # Where the exponent is 0, tanh(-h) is (1 - e^2h) / (1 + e^2h) of h < 0; elsewhere e^2h is at most
    # half as much.
    "exponentials": lambda: (
        weighed("expm1_float", rest_of_exp, lambda r: r * r / np.abs(np.expm1(r)), half_ln2, 6,
                (0.5,), "(e^r - 1 - r) / r^2"),
        weighed("sigmoid_float", lambda r: rest_of_exp(-r), lambda r: r * r * np.exp(r), half_ln2,
                5, (), "the same of e^-r"),
        weighed("tanh_float", lambda h: 4 * rest_of_exp(2 * h),
                lambda h: np.where(h < 0, 2 * h * h / (1 - np.exp(4 * h)),
                                   h * h / (1 - np.exp(4 * h) / 4)),
                half_ln2 / 2, 5, (), "(e^(2h) - 1 - 2h) / h^2")),
    "tanhshrink": lambda: show("tanh_rest", lambda z: near_zero_of(
        z, lambda v: (sqrt(v) - tanh(sqrt(v))) / sqrt(v) ** 3), 0, "0.36", "1e-17",
        "(x - tanh x)/x^3 in x^2"),
}
for name in sys.argv[1:] or tasks:
    tasks[name]()
