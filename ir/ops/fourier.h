// Discrete Fourier transforms: rows on the real form of complex numbers (pairs along a last axis),
// and what signals are cut and mended with. What users call is composed of these.
#pragma once

#include "ir/attrs.h"

namespace weft::ir {

struct Op;

/// `axis` counts the axes of numbers: the pairs' own is left out.
struct DftAttrs {
  std::string form = "complex";  // or "real" (dft_real), "hermitian" (dft_hermitian)
  std::int64_t axis = -1;
  bool inverse = false;         // of the complex form: e^{+2πi jk/n}
  std::string scale = "none";   // results over 1; "n": over n; "root": over sqrt(n)
  double weight = 1;            // of results that stand for a conjugate too
  Dims length = {Dim(-1)};      // dft_hermitian: n; -1: 2 (m - 1) of m numbers
  template <class S, class F> static void fields(S& s, F&& f) {
    f("form", s.form);
    f("axis", s.axis);
    f("inverse", s.inverse);
    f("scale", s.scale);
    f("weight", s.weight);
    f("length", s.length);
  }
};
struct ExtentAttrs {
  std::int64_t axis = -1;
  Dims length = {Dim(1)};  // one entry
  template <class S, class F> static void fields(S& s, F&& f) {
    f("axis", s.axis);
    f("length", s.length);
  }
};
struct ShiftAttrs {
  std::vector<std::int64_t> axes;  // none: all
  bool inverse = false;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("axes", s.axes);
    f("inverse", s.inverse);
  }
};
struct FrameAttrs {
  std::int64_t size = 1, step = 1;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("size", s.size);
    f("step", s.step);
  }
};

namespace ops {
extern const Op dft, dft_real, dft_hermitian;
extern const Op to_transformable;  // integers and half floats as float32
extern const Op fit_extent, fftshift;
extern const Op frames, overlap_add;
}  // namespace ops

}  // namespace weft::ir
