// The operation catalogue by name: one declaration a row, the rows themselves in the file of their
// family.
#pragma once

namespace weft::ir {
struct Op;
}

namespace weft::ir::ops {

// leaves (leaf.cpp)
extern const Op input, constant;

// arithmetic (arithmetic.cpp): pointwise, NumPy broadcasting
extern const Op add, sub, mul, div, floor_divide, remainder, fmod, pow, neg, abs, sign, reciprocal,
    square, maximum, minimum, fma, clip;

// comparison, logic, bits, casts (logic.cpp)
extern const Op eq, ne, lt, le, gt, ge, logical_and, logical_or, logical_xor, logical_not,
    bitwise_and, bitwise_or, bitwise_xor, bitwise_not, left_shift, right_shift, where, cast, isnan,
    isinf, isfinite;

// transcendentals and rounding (transcendental.cpp)
extern const Op exp, exp2, expm1, log, log2, log10, log1p, sqrt, rsqrt, sin, cos, tan, asin, acos,
    atan, atan2, sinh, cosh, tanh, asinh, acosh, atanh, sigmoid, erf, erfc, floor, ceil, trunc,
    round;

// activations and losses' building blocks (activation.cpp): pointwise rows and expansions
extern const Op relu, gelu, gelu_tanh, silu, softplus, leaky_relu, elu;
extern const Op gelu_tanh_grad;  // (x, g) -> cotangent of x

// type-only helpers (like.cpp): operand 1 is taken for its type only (zeros_like, ones_like,
// iota_like, count: the one)
extern const Op broadcast_like, sum_to_like, cast_like, zeros_like, ones_like, reshape_like;
// restore the axes that a reduction of operand 1 removed; how many elements such a reduction meets
// (int64); positions
extern const Op unreduce_like, count, iota_like;
extern const Op stop_gradient;

// reductions (reduction.cpp)
extern const Op sum, prod, max, min, amax, amin, any, all, argmax, argmin;
// true at the first maximum or minimum of each reduction, false elsewhere
extern const Op first_max, first_min;
// their expansions (reduction_expansions.cpp)
extern const Op mean, var, std_dev, logsumexp;

// views (view.cpp)
extern const Op reshape, permute, broadcast_to, slice, flip, squeeze, expand_dims, diagonal;
// transpose of the last two axes whatever the rank; operand i of a concatenation, cut out of its
// result
extern const Op matrix_transpose, split_like;
// structure that is not a pure view (structure.cpp): concatenate and pad are regions written one by
// one
extern const Op concatenate, pad, iota;
// transposes of slice and diagonal: zeros of operand 1's type but for the places that these read
extern const Op unslice, embed_diagonal;

// contractions (contraction.cpp)
extern const Op matmul, dot;
// cotangents of matmul's operands, of the type of operand 2
extern const Op matmul_grad_a, matmul_grad_b;

// rows and losses (softmax.cpp)
extern const Op softmax, log_softmax, one_hot, cross_entropy, nll_loss, mse_loss, l1_loss,
    binary_cross_entropy, binary_cross_entropy_with_logits;
extern const Op cross_entropy_grad, nll_loss_grad;  // (g, operands…) -> cotangent of one operand

// indexed access (indexing.cpp)
extern const Op gather_rows, scatter_add_rows, gather, scatter_add;

// random (random.cpp): carry an identity; each call draws anew
extern const Op random_uniform, random_normal, random_bernoulli, random_integer;

// result i of a multi-result node; host callbacks; control flow (control.cpp)
extern const Op get, callback;

}  // namespace weft::ir::ops
