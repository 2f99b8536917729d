// Kernels that are products, of the kinds that code for CUDA devices tells apart.
#pragma once

#include <vector>

#include "ir/kernel.h"
#include "ir/scalar_math.h"

namespace weft::test {

/// a (batch, m, k) times b (k, n), all dense; b shared by the batch.
inline ir::Kernel product(DType dtype, DType sum, const Dim& batch, const Dim& m, const Dim& n,
                   const Dim& k, int symbols) {
  ir::Kernel kernel;
  kernel.axes = {batch, m, n};
  kernel.buffers = {{dtype, false}, {dtype, false}, {sum, true}};
  kernel.symbols = symbols;
  ir::Contraction c;
  c.a = 0, c.b = 1, c.out = 2;
  c.a_offset = c.b_offset = c.out_offset = 0;
  c.a_batch = {m * k}, c.b_batch = {Dim(0)};
  c.a_m = k, c.a_k = 1, c.b_k = n, c.b_n = 1, c.k = k;
  kernel.contraction = c;
  return kernel;
}

/// 3x3 windows of an image of 8x8.
inline ir::Kernel windows(DType dtype, DType sum) {
  ir::Kernel kernel = product(dtype, sum, 2, 4, 36, 9, 0);
  ir::Contraction& c = *kernel.contraction;
  c.a_k = c.b_k = c.b_n = 0;
  c.a_batch = {Dim(0)}, c.b_batch = {Dim(64)};
  c.gather = ir::Contraction::Gather{{Dim(3), Dim(3)}, {Dim(3), Dim(1)}, {Dim(8), Dim(1)},
                                     {Dim(6), Dim(6)}, {Dim(8), Dim(1)}};
  return kernel;
}

/// Two images' cotangents (4, 6x6) times their windows, summed over images and places.
inline ir::Kernel products_with_places(DType dtype) {
  ir::Kernel kernel = product(dtype, DType::float32, 1, 4, 9, 2 * 36, 0);
  ir::Contraction& c = *kernel.contraction;
  c.a_m = 36, c.a_k = c.b_k = c.b_n = 0;
  c.a_batch = {Dim(0)};
  c.gather = ir::Contraction::Gather{{Dim(2), Dim(6), Dim(6)}, {Dim(4 * 36), Dim(6), Dim(1)},
                                     {Dim(64), Dim(8), Dim(1)}, {Dim(3), Dim(3)}, {Dim(8), Dim(1)}};
  return kernel;
}

/// Images of (channels, side, side) under windows of 3x3, `stride` apart, by weights (filters, …);
/// with channels last, of the weights too.
inline ir::Kernel convolution(DType dtype, int images, int channels, int side, int filters, int stride,
                       bool channels_last) {
  const int places = (side - 3) / stride + 1;
  ir::Kernel kernel = product(dtype, DType::float32, images, filters, places * places,
                              channels * 9, 0);
  ir::Contraction& c = *kernel.contraction;
  c.a_k = c.b_k = c.b_n = 0;
  c.a_batch = {Dim(0)}, c.b_batch = {Dim(channels * side * side)};
  const int across = channels_last ? channels : 1, plane = channels_last ? 1 : side * side;
  const Dims a_k = channels_last ? Dims{Dim(1), Dim(3 * channels), Dim(channels)}
                                 : Dims{Dim(9), Dim(3), Dim(1)};
  c.gather = ir::Contraction::Gather{{Dim(channels), Dim(3), Dim(3)}, a_k,
                                     {Dim(plane), Dim(side * across), Dim(across)},
                                     {Dim(places), Dim(places)},
                                     {Dim(side * across * stride), Dim(across * stride)}};
  return kernel;
}

/// Either operand the other way round in memory.
inline ir::Kernel turned(ir::Kernel kernel, bool a, bool b) {
  ir::Contraction& c = *kernel.contraction;
  if (a) c.a_m = 1, c.a_k = kernel.axes[1];
  if (b) c.b_k = 1, c.b_n = c.k;
  return kernel;
}

/// By tensor cores, where the factors are of 16 bits or may be rounded.
inline ir::Kernel fast(ir::Kernel kernel) {
  kernel.contraction->precision = kernel.buffers[0].dtype == DType::float32
                                      ? MatmulPrecision::high
                                      : MatmulPrecision::highest;
  return kernel;
}

/// relu(product + a vector along n), rounded to the dtype of the factors, bfloat16 by hand.
inline ir::Kernel with_end(ir::Kernel kernel) {
  const DType t = kernel.buffers[0].dtype;
  const std::size_t rank = kernel.axes.size();
  kernel.contraction->kept = false;
  kernel.buffers.push_back({DType::float32, false});
  kernel.buffers.push_back({t, true});
  std::vector<Dim> dense(rank, Dim(1)), along(rank, Dim(0));
  for (std::size_t i = rank - 1; i-- > 0;) dense[i] = dense[i + 1] * kernel.axes[i + 1];
  along.back() = 1;
  kernel.accesses = {{2, 0, dense}, {3, 0, along}, {4, 0, dense}};
  ir::ScalarBuilder b;
  ir::ScalarValue value = b.input(0, DType::float32) + b.input(1, DType::float32);
  value = ir::maximum(value, b.constant(DType::float32, 0));
  value = b.convert(value, DType::float32, t);
  ir::Stage stage;
  stage.body = b.finish(std::vector{value});
  stage.sources = {{ir::Source::Kind::load, 0}, {ir::Source::Kind::load, 1}};
  stage.sinks = {{ir::Sink::Kind::store, 0, 2}};
  kernel.stages = {stage};
  return kernel;
}

inline Dim symbol(const char* name) { return Dim::symbol(name); }

}  // namespace weft::test
