// Fourier transforms against their definition, windows against their formulas.
#include "complex_checks.h"
#include "thrown.h"

#include <limits>
#include <numbers>

#include "runtime/fft.h"
#include "runtime/thread_pool.h"

using namespace weft;
using namespace weft::complex_checks;

namespace {

/// The definition, in long double.
std::vector<Complex> naive(const std::vector<Complex>& x, bool inverse = false, double scale = 1) {
  using Wide = std::complex<long double>;
  const std::size_t n = x.size();
  const long double turn = (inverse ? 2 : -2) * std::numbers::pi_v<long double>;
  std::vector<Wide> roots;
  for (std::size_t k = 0; k < n; ++k)
    roots.push_back(
        std::polar(1.0L, turn * static_cast<long double>(k) / static_cast<long double>(n)));
  std::vector<Complex> y;
  for (std::size_t k = 0; k < n; ++k) {
    long double re = 0, im = 0;
    for (std::size_t j = 0, at = 0; j < n; ++j, at = (at + k) % n) {
      re += x[j].real() * roots[at].real() - x[j].imag() * roots[at].imag();
      im += x[j].real() * roots[at].imag() + x[j].imag() * roots[at].real();
    }
    y.emplace_back(static_cast<double>(re * scale), static_cast<double>(im * scale));
  }
  return y;
}

double relative_error(const std::vector<Complex>& got, const std::vector<Complex>& want) {
  REQUIRE(got.size() == want.size());
  double error = 0, size = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    error += std::norm(got[i] - want[i]);
    size += std::norm(want[i]);
  }
  return std::sqrt(error / size);
}

/// Root mean square, of the largest transforms here.
double bound(DType t) {
  return t == DType::complex64 || t == DType::float32 ? 4e-7 : 8e-16;
}

std::vector<Complex> front(std::vector<Complex> v, std::size_t n) {
  v.resize(n);
  return v;
}

std::vector<std::int64_t> lengths() {
  std::vector<std::int64_t> n;
  for (std::int64_t i = 1; i <= 64; ++i) n.push_back(i);
  for (const std::int64_t i : {97, 101, 127, 360, 388, 961, 1009, 2187, 4096}) n.push_back(i);
  return n;
}

std::vector<double> reals(const Tensor& t) { return t.value().tolist<double>(); }

void check_near(const std::vector<double>& got, const std::vector<double>& want, double within) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(std::fabs(got[i] - want[i]) <= within);
  }
}

}  // namespace

TEST_CASE("fourier: every length against the definition, in both directions") {
  for (const std::int64_t n : lengths())
    for (const DType t : {DType::complex64, DType::complex128}) {
      CAPTURE(n);
      CAPTURE(name(t));
      const Array x = random_array({n}, t, static_cast<unsigned>(n));
      const std::vector<Complex> v = numbers(x);
      const Tensor y = fft(Tensor(x));
      CHECK(y.dtype() == t);
      CHECK(relative_error(numbers(y), naive(v)) < bound(t));
      const double over_n = 1 / static_cast<double>(n);
      CHECK(relative_error(numbers(ifft(Tensor(x))), naive(v, true, over_n)) < bound(t));
      CHECK(relative_error(numbers(ifft(y)), v) < bound(t));
    }
}

TEST_CASE("fourier: real lines give half of what complex ones do, and come back") {
  for (const std::int64_t n : lengths())
    for (const DType t : {DType::float32, DType::float64}) {
      CAPTURE(n);
      CAPTURE(name(t));
      const Array x = random_array({n}, t, static_cast<unsigned>(n));
      const std::vector<Complex> v = numbers(x);
      const auto half = static_cast<std::size_t>(n / 2 + 1);
      const Tensor y = rfft(Tensor(x));
      CHECK(relative_error(numbers(y), front(naive(v), half)) < bound(t));
      CHECK(relative_error(numbers(irfft(y, n)), v) < bound(t));
      CHECK(relative_error(numbers(ihfft(Tensor(x))),
                           front(naive(v, true, 1 / static_cast<double>(n)), half)) < bound(t));
      CHECK(relative_error(numbers(hfft(ihfft(Tensor(x)), n)), v) < bound(t));
    }
}

TEST_CASE("fourier: numbers worked by hand") {
  using List = std::vector<Complex>;
  const Tensor x(Array{1., 2., 3., 4.});
  CHECK(distance(numbers(fft(x)), {{10, 0}, {-2, 2}, {-2, 0}, {-2, -2}}) < 1e-15);
  CHECK(distance(numbers(rfft(x)), {{10, 0}, {-2, 2}, {-2, 0}}) < 1e-15);
  CHECK(distance(numbers(fft(x, 2)), {{3, 0}, {-1, 0}}) < 1e-15);
  CHECK(distance(numbers(fft(x, 5)), naive({1, 2, 3, 4, 0})) < 1e-15);
  CHECK(distance(numbers(fft(x, {}, -1, "forward")), {{2.5, 0}, {-.5, .5}, {-.5, 0}, {-.5, -.5}}) <
        1e-15);
  CHECK(distance(numbers(fft(x, {}, -1, "ortho")), {{5, 0}, {-1, 1}, {-1, 0}, {-1, -1}}) < 1e-15);
  CHECK(distance(numbers(ifft(x, {}, -1, "forward")), {{10, 0}, {-2, -2}, {-2, 0}, {-2, 2}}) <
        1e-15);
  CHECK(numbers(fft(Tensor(Array{1, 0, 0, 0}))) == List{1, 1, 1, 1});  // of integers: complex64
  CHECK(fft(Tensor(Array{1, 0})).dtype() == DType::complex64);
  CHECK(rfft(cast(x, DType::float16)).dtype() == DType::complex64);
  check_near(reals(irfft(Tensor(Array{Complex(10, 5), Complex(-2, 2), Complex(-2, 7)}))),
             {1, 2, 3, 4}, 1e-15);  // imaginary parts that a real line cannot have are ignored
  check_near(reals(irfft(Tensor(Array{Complex(6, 0), Complex(-1, 0.5)}), 3)),
             {4. / 3, (7 - std::sqrt(3.) / 2) / 3, (7 + std::sqrt(3.) / 2) / 3}, 1e-14);
  check_near(reals(hfft(Tensor(Array{1., 2., 3.}))), {8, -2, 0, -2}, 1e-14);
  CHECK(numbers(fft(Tensor(Array::from(std::vector<float>{}, {0, 3})))).empty());
}

TEST_CASE("fourier: axes, batches and several axes at once") {
  const Array a = random_array({3, 4, 5}, DType::complex128, 7);
  const Tensor x(a);
  const std::vector<Complex> v = numbers(a);
  const auto at = [&](std::size_t i, std::size_t j, std::size_t k) {
    return v[(i * 4 + j) * 5 + k];
  };
  std::vector<Complex> middle(v.size());
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t k = 0; k < 5; ++k) {
      std::vector<Complex> line;
      for (std::size_t j = 0; j < 4; ++j) line.push_back(at(i, j, k));
      line = naive(line);
      for (std::size_t j = 0; j < 4; ++j) middle[(i * 4 + j) * 5 + k] = line[j];
    }
  CHECK(relative_error(numbers(fft(x, {}, 1)), middle) < 1e-15);
  CHECK(relative_error(numbers(fft(x, {}, -2)), middle) < 1e-15);
  const auto both = numbers(fft(fft(x, {}, 2), {}, 1));
  CHECK(relative_error(numbers(fft2(x)), both) < 1e-15);
  CHECK(relative_error(numbers(fftn(x, {}, Axes{1, 2})), both) < 1e-15);
  CHECK(relative_error(numbers(fftn(x)), numbers(fft(fft2(x), {}, 0))) < 1e-15);
  CHECK(relative_error(numbers(ifftn(fftn(x))), v) < 1e-15);
  CHECK(relative_error(numbers(ifft2(fft2(x))), v) < 1e-15);
  CHECK(fftn(x, std::vector<std::int64_t>{2, 7}).shape() == Shape{3, 2, 7});
  CHECK(relative_error(numbers(fftn(x, std::vector<std::int64_t>{2, 7})),
                       numbers(fft(fft(x, 7, 2), 2, 1))) < 1e-15);
  const Tensor r = real(x);
  CHECK(rfft2(r).shape() == Shape{3, 4, 3});
  CHECK(relative_error(numbers(rfftn(r)), numbers(fftn(r)[{ellipsis, Slice(0, 3)}])) < 1e-15);
  CHECK(relative_error(numbers(irfft2(rfft2(r), std::vector<std::int64_t>{4, 5})), numbers(r)) <
        1e-15);
  CHECK(relative_error(numbers(irfftn(rfftn(r), std::vector<std::int64_t>{3, 4, 5})), numbers(r)) <
        1e-15);
  CHECK(irfftn(rfftn(r)).shape() == Shape{3, 4, 4});
  // Many lines at once, side by side or one after another, are what they are one by one.
  const Array many = random_array({37, 30}, DType::complex64, 8);
  const Tensor rows = fft(Tensor(many)), columns = fft(transpose(Tensor(many), 0, 1), {}, 0);
  CHECK(numbers(rows) == numbers(transpose(columns, 0, 1)));
  CHECK(numbers(rows[36]) == numbers(fft(Tensor(Tensor(many)[36]))));
  CHECK(relative_error(numbers(rows[11]), naive(numbers(Tensor(many)[11]))) < 4e-7);
}

TEST_CASE("fourier: results do not depend on the number of threads") {
  const Array a = random_array({64, 3 * 1009}, DType::complex64, 9);
  const int threads = runtime::num_threads();
  runtime::set_num_threads(1);
  const auto alone = fft(Tensor(a)).value().tolist<std::complex<float>>();
  runtime::set_num_threads(4);
  const auto together = fft(Tensor(a)).value().tolist<std::complex<float>>();
  runtime::set_num_threads(threads);
  CHECK(alone == together);
}

TEST_CASE("fourier: energy is kept, and a convolution is a product of spectra") {
  const Array a = random_array({360}, DType::complex128, 10);
  double before = 0, after = 0;
  for (const Complex& z : numbers(a)) before += std::norm(z);
  for (const Complex& z : numbers(fft(Tensor(a), {}, -1, "ortho"))) after += std::norm(z);
  CHECK(after == doctest::Approx(before).epsilon(1e-14));
  const Tensor x(Array{1., 2., 3.}), y(Array{0., 1., 0.5});
  check_near(reals(irfft(rfft(x, 5) * rfft(y, 5), 5)), {0, 1, 2.5, 4, 1.5}, 1e-15);
}

TEST_CASE("fourier: unknown extents") {
  const Tensor x("x");
  const Function any({x}, {fft(x), ifft(fft(x)), fft(x, 6), fftshift(x)});
  for (const std::int64_t n : {1, 2, 3, 4, 5, 6, 7, 8, 9}) {
    CAPTURE(n);
    const Array a = random_array({2, n}, DType::complex128, static_cast<unsigned>(n));
    const auto r = any(a);
    CHECK(relative_error(numbers(r[0]), numbers(fft(Tensor(a)))) < 1e-15);
    CHECK(relative_error(numbers(r[1]), numbers(a)) < 1e-15);
    CHECK(r[2].shape() == Shape{2, 6});
    CHECK(relative_error(numbers(r[2]), numbers(fft(Tensor(a), 6))) < 1e-15);
    CHECK(numbers(r[3]) == numbers(fftshift(Tensor(a))));
  }
  const Tensor s({dim("N")}, DType::float32, "s");
  const Function real_lines({s}, {rfft(s), irfft(rfft(s)), irfft(rfft(s), 9)});
  for (const std::int64_t n : {2, 4, 6, 8, 10, 12}) {
    CAPTURE(n);
    const Array a = random_array({n}, DType::float32, static_cast<unsigned>(n));
    const auto r = real_lines(a);
    CHECK(relative_error(numbers(r[1]), numbers(a)) < 4e-7);
    CHECK(r[2].shape() == Shape{9});
  }
}

TEST_CASE("fourier: frequencies and shifts") {
  CHECK(reals(fftfreq(5, 0.1, DType::float64)) == std::vector{0., 2., 4., -4., -2.});
  CHECK(reals(fftfreq(4)) == std::vector{0., 0.25, -0.5, -0.25});
  CHECK(reals(rfftfreq(4)) == std::vector{0., 0.25, 0.5});
  CHECK(reals(rfftfreq(2)) == std::vector{0., 0.5});
  CHECK(reals(rfftfreq(5, 0.2)) == std::vector{0., 1., 2.});
  CHECK(fftfreq(4).dtype() == DType::float32);
  CHECK(reals(fftshift(Tensor(Array{0., 1., 2., 3., 4.}))) == std::vector{3., 4., 0., 1., 2.});
  CHECK(reals(ifftshift(Tensor(Array{3., 4., 0., 1., 2.}))) == std::vector{0., 1., 2., 3., 4.});
  CHECK(reals(fftshift(Tensor(Array{{0., 1.}, {2., 3.}}))) == std::vector{3., 2., 1., 0.});
  CHECK(reals(fftshift(Tensor(Array{{0., 1.}, {2., 3.}}), Axes{0})) == std::vector{2., 3., 0., 1.});
}

TEST_CASE("fourier: gradients, first and second, against differences") {
  using T = std::vector<Tensor>;
  const Array z = random_array({2, 6}, DType::complex128, 1),
              odd = random_array({2, 5}, DType::complex128, 2),
              x = random_array({2, 6}, DType::float64, 3),
              y = random_array({2, 5}, DType::float64, 4),
              prime = random_array({37}, DType::complex128, 5);
  const auto check = [](const char* name, const Array& at, Tensor (*f)(const Tensor&)) {
    check_gradients(name, {at}, [f](const T& t) { return f(t[0]); });
  };
  check("fft", z, [](const Tensor& t) { return fft(t * t); });
  check("fft of a prime length", prime, [](const Tensor& t) { return fft(t * t); });
  check("fft of real", x, [](const Tensor& t) { return fft(t * t); });
  check("ifft along 0", z, [](const Tensor& t) { return ifft(t * t, {}, 0, "ortho"); });
  check("fft cut", z, [](const Tensor& t) { return fft(t * t, 4); });
  check("fft padded", z, [](const Tensor& t) { return fft(t * t, 9); });
  check("rfft", x, [](const Tensor& t) { return square(rfft(t)); });
  check("rfft odd", y, [](const Tensor& t) { return square(rfft(t, {}, -1, "forward")); });
  check("rfft along 0, padded", x, [](const Tensor& t) { return square(rfft(t, 3, 0)); });
  check("irfft", z, [](const Tensor& t) { return square(irfft(t)); });
  check("irfft odd", odd, [](const Tensor& t) { return square(irfft(t, 9)); });
  check("irfft cut", odd, [](const Tensor& t) { return square(irfft(t, 6)); });
  check("hfft", odd, [](const Tensor& t) { return square(hfft(t, 8)); });
  check("ihfft", y, [](const Tensor& t) { return square(ihfft(t)); });
  check("fft2", z, [](const Tensor& t) { return fft2(t * t); });
  check("rfft2", x, [](const Tensor& t) { return square(rfft2(t)); });
  check("irfft2", z, [](const Tensor& t) { return square(irfft2(t)); });
  check("fftshift", z, [](const Tensor& t) { return ifftshift(fftshift(t * t) * t, Axes{0}); });
  check_gradients("stft", {random_array({20}, DType::float64, 6)}, [](const T& t) {
    return square(stft(t[0], 8, {.window = hann_window(8, true, DType::float64)}));
  });
  check_gradients("istft", {random_array({5, 6}, DType::complex128, 7)}, [](const T& t) {
    return square(istft(t[0], 8, {.hop_length = 2, .window = hamming_window(8, true, 0.54, 0.46,
                                                                            DType::float64)}));
  });
}

TEST_CASE("fourier: short-time transforms") {
  const Tensor x(Array{1., 2., 3., 4., 5., 6., 7., 8.});
  const Tensor frames = stft(x, 4, {.hop_length = 2, .center = false});
  CHECK(frames.shape() == Shape{3, 3});
  CHECK(distance(numbers(frames), {10, 18, 26, {-2, 2}, {-2, 2}, {-2, 2}, -2, -2, -2}) < 1e-15);
  // centred: mirrored by two samples at each end, 3 2 | 1 … 8 | 7 6
  const Tensor centred = stft(x, 4, {.hop_length = 4});
  CHECK(centred.shape() == Shape{3, 3});
  CHECK(distance(numbers(centred[0]), {3 + 2 + 1 + 2, 3 + 4 + 5 + 6, 7 + 8 + 7 + 6}) < 1e-15);
  const Tensor zeros = stft(x, 4, {.hop_length = 4, .pad_mode = "constant"});
  CHECK(distance(numbers(zeros[0]), {0 + 0 + 1 + 2, 3 + 4 + 5 + 6, 7 + 8}) < 1e-15);
  CHECK(stft(x, 4, {.return_complex = false}).shape() == Shape{3, 9, 2});
  CHECK(stft(x, 4, {.onesided = false}).shape() == Shape{4, 9});
  CHECK(distance(numbers(stft(x, 4, {.normalized = true})), numbers(stft(x, 4) / 2)) < 1e-15);
  // A shorter window stands in the middle of the frame.
  CHECK(distance(numbers(stft(x, 4, {.win_length = 2, .center = false})[0]),
                 {2 + 3, 3 + 4, 4 + 5, 5 + 6, 6 + 7}) < 1e-15);
  const Tensor batch(random_array({3, 50}, DType::float64, 11));
  for (const bool onesided : {true, false})
    for (const bool normalized : {true, false}) {
      const StftOptions options{.hop_length = 3,
                                .window = hann_window(12, true, DType::float64),
                                .normalized = normalized,
                                .onesided = onesided,
                                .return_complex = false,
                                .length = 50};
      StftOptions forward = options;
      forward.return_complex = true;
      const Tensor back = istft(stft(batch, 12, forward), 12, options);
      CHECK(back.shape() == Shape{3, 50});
      check_near(reals(back[{ellipsis, Slice(0, 49)}]), reals(batch[{ellipsis, Slice(0, 49)}]),
                 1e-13);
    }
}

TEST_CASE("fourier: windows") {
  const auto f64 = [](Tensor (*f)(std::int64_t, bool, DType, std::source_location), std::int64_t n,
                      bool periodic) {
    return reals(f(n, periodic, DType::float64, std::source_location::current()));
  };
  check_near(f64(hann_window, 4, true), {0, 0.5, 1, 0.5}, 4e-16);
  check_near(f64(hann_window, 5, false), {0, 0.5, 1, 0.5, 0}, 4e-16);
  check_near(f64(bartlett_window, 4, true), {0, 0.5, 1, 0.5}, 4e-16);
  check_near(f64(bartlett_window, 5, false), {0, 0.5, 1, 0.5, 0}, 4e-16);
  check_near(f64(blackman_window, 4, true), {0, 0.34, 1, 0.34}, 1e-15);
  check_near(f64(cosine_window, 2, false), {std::sqrt(0.5), std::sqrt(0.5)}, 1e-15);
  check_near(reals(hamming_window(4, true, 0.54, 0.46, DType::float64)), {0.08, 0.54, 1, 0.54},
             1e-15);
  // I0(12) = 18948.925349296309
  const std::vector<double> kaiser = reals(kaiser_window(4, true, 12, DType::float64));
  CHECK(kaiser[0] == doctest::Approx(1 / 18948.925349296309).epsilon(1e-13));
  CHECK(kaiser[2] == 1);
  CHECK(kaiser[1] == kaiser[3]);
  CHECK(kaiser[1] == doctest::Approx(std::cyl_bessel_i(0, 12 * std::sqrt(0.75)) /
                                     std::cyl_bessel_i(0, 12.0)).epsilon(1e-13));
  check_near(reals(gaussian_window(3, 1, false, DType::float64)),
             {std::exp(-0.5), 1, std::exp(-0.5)}, 1e-16);
  CHECK(hann_window(7).dtype() == DType::float32);
  CHECK(reals(hann_window(1)) == std::vector{1.});
  CHECK(hann_window(0).shape() == Shape{0});
  CHECK(contains(message<ShapeError>([] { (void)hann_window(-1); }), "hann_window"));
  CHECK(contains(message<DTypeError>([] { (void)hann_window(4, true, DType::int32); }), "int32"));
}

TEST_CASE("fourier: ONNX's operators") {
  const Tensor x(reshape(Tensor(Array{1., 2., 3., 4.}), {1, 4, 1}));
  CHECK(onnx_dft(x).shape() == Shape{1, 4, 2});
  check_near(reals(onnx_dft(x)), {10, 0, -2, 2, -2, 0, -2, -2}, 1e-15);
  check_near(reals(onnx_dft(x, {}, 1, false, true)), {10, 0, -2, 2, -2, 0}, 1e-15);
  check_near(reals(onnx_dft(onnx_dft(x), {}, -2, true)), {1, 0, 2, 0, 3, 0, 4, 0}, 1e-15);
  check_near(reals(onnx_dft(x, 2)), {3, 0, -1, 0}, 1e-15);
  const Tensor signal(reshape(Tensor(Array{1., 2., 3., 4., 5., 6., 7., 8.}), {1, 8, 1}));
  const Tensor y = onnx_stft(signal, 2, Tensor(Array{1., 1., 1., 1.}));
  CHECK(y.shape() == Shape{1, 3, 3, 2});
  check_near(reals(y[{0, 1}]), {18, 0, -2, 2, -2, 0}, 1e-15);
  CHECK(onnx_stft(signal, 2, {}, 4, false).shape() == Shape{1, 3, 4, 2});
  const Tensor mel = mel_weight_matrix(8, 16, 8192, 0, 8192 / 2.);
  CHECK(mel.shape() == Shape{9, 8});
  std::vector<double> expected(72, 0);  // the operator's own example in ONNX
  const std::size_t ones[][2] = {{0, 0}, {0, 1}, {1, 2}, {1, 3}, {2, 4}, {3, 5}, {4, 6}, {5, 7}};
  for (const auto& [row, column] : ones) expected[row * 8 + column] = 1;
  CHECK(reals(mel) == expected);
}

TEST_CASE("fourier: errors name the call") {
  const Tensor x(Array{1., 2., 3., 4.}), z(Array{Complex(1, 2)});
  CHECK(contains(message<Error>([&] { (void)fft(x, {}, -1, "sideways"); }), "\"sideways\""));
  CHECK(contains(message<ShapeError>([&] { (void)fft(x, {}, 1); }), "out of range"));
  CHECK(contains(message<ShapeError>([&] { (void)fft(x, 0); }), "0 points"));
  CHECK(contains(message<ShapeError>([&] { (void)fft(Tensor(Array::from(std::vector<float>{}))); }),
                 "no points"));
  CHECK(contains(message<ShapeError>([&] { (void)irfft(z); }), "0 points"));
  CHECK(contains(message<DTypeError>([&] { (void)rfft(z); }), "real"));
  CHECK(contains(message<ShapeError>([&] {
                   (void)fftn(x, std::vector<std::int64_t>{4}, Axes{0, 1});
                 }),
                 "1 extents for 2 axes"));
  CHECK(contains(message<ShapeError>([&] { (void)stft(x, 8); }), "mirror 4 of 4"));
  CHECK(contains(message<ShapeError>([&] { (void)stft(x, 8, {.center = false}); }),
                 "fewer than a frame"));
  CHECK(contains(message<Error>([&] { (void)stft(x, 4, {.hop_length = 0}); }), "hop_length"));
  const Tensor unknown("u");
  const Function f({unknown}, fft(unknown));
  CHECK(contains(message<ShapeError>([&] { (void)f(Array::from(std::vector<float>{})); }),
                 "fourier_test.cpp"));
}
