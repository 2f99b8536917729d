// Normalisations: literal values worked by hand, and what makes them what they are.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "weft/weft.h"

using namespace weft;

namespace {

using List = std::vector<double>;

List values(const Tensor& t) { return t.value().tolist<double>(); }
void check_close(const List& got, const List& want, double tolerance = 1e-9) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK(got[i] == doctest::Approx(want[i]).epsilon(tolerance));
}
template <class E, class F> std::string message(F&& f) {
  try {
    f();
  } catch (const E& e) { return e.what(); }
  return "nothing thrown";
}

}  // namespace

TEST_CASE("layer_norm and rms_norm") {
  const Array x{{1.0, 3.0}, {2.0, 6.0}};
  check_close(values(layer_norm(x, {2}, {}, {}, 0)), {-1, 1, -1, 1});
  check_close(values(layer_norm(x, {2}, Tensor(Array{2.0, 3.0}), Tensor(Array{1.0, 1.0}), 0)),
              {-1, 4, -1, 4});
  check_close(values(layer_norm(x, {2, 2}, {}, {}, 0.5)), {-0.5 * 4 / 2, 0, -0.5, 1.5});
  check_close(values(rms_norm(Array{{3.0, 4.0}}, {2}, {}, 0.0)),
              {3 / std::sqrt(12.5), 4 / std::sqrt(12.5)});
  CHECK(message<ShapeError>([&] { (void)layer_norm(x, {3}); }).find("normalised shape") !=
        std::string::npos);
  // The mean is far from 0: two passes keep the deviations.
  const Array far{{1e4f + 1, 1e4f + 2, 1e4f + 3}};
  check_close(values(layer_norm(far, {3}, {}, {}, 0)), {-std::sqrt(1.5), 0, std::sqrt(1.5)}, 1e-6);
  CHECK(layer_norm(x, {2}).dtype() == DType::float64);
  const Array half = x.to(DType::float16);
  CHECK(layer_norm(half, {2}, Tensor(ones({2})), Tensor(zeros({2}))).dtype() == DType::float16);
}

TEST_CASE("group_norm and instance_norm") {
  const Array x = Array{1.0, 3.0, 2.0, 6.0, 0.0, 0.0, 5.0, 9.0}.reshape({1, 4, 2});
  check_close(values(instance_norm(x, {}, {}, {}, {}, true, 0)).size() == 8
                  ? List(1, values(instance_norm(x, {}, {}, {}, {}, true, 1e-12))[0])
                  : List{},
              {-1}, 1e-6);
  check_close(
      values(group_norm(x, 2, {}, {}, 0)),
      {-2 / std::sqrt(3.5), 0, -1 / std::sqrt(3.5), 3 / std::sqrt(3.5), -3.5 / std::sqrt(14.25),
       -3.5 / std::sqrt(14.25), 1.5 / std::sqrt(14.25), 5.5 / std::sqrt(14.25)});
  CHECK(message<ShapeError>([&] { (void)group_norm(x, 3); }).find("do not make 3 groups") !=
        std::string::npos);
}

TEST_CASE("batch_norm: inference, training, running statistics, gradients of unknown types") {
  const Array x{{1.0, 10.0}, {3.0, 30.0}};
  const Tensor mean(Array{1.0, 10.0}), variance(Array{4.0, 25.0});
  check_close(values(batch_norm(x, mean, variance, {}, {}, false, 0)), {0, 0, 1, 4});
  check_close(values(batch_norm(x, {}, {}, {}, {}, true, 0)), {-1, -1, 1, 1});
  const BatchNormResult r = batch_norm_train(x, mean, variance);
  check_close(values(r.running_mean), {1.1, 11});
  check_close(values(r.running_var), {0.9 * 4 + 0.1 * 2, 0.9 * 25 + 0.1 * 200});
  CHECK(message<Error>([&] { (void)batch_norm(x, {}, {}); }).find("running statistics") !=
        std::string::npos);

  Tensor u("u"), w("w");
  const Tensor y = batch_norm(u, {}, {}, w, {}, true, 0);
  const std::vector<Tensor> g = grad(sum(y * y * y), {u, w});
  u.set_value(Array{{1.0}, {2.0}, {4.0}});
  w.set_value(Array{2.0});
  // Σ y³ with y = w·s, s standardised: Σ s³ · 3w², and no change along s of the mean and the scale.
  const double m = 7.0 / 3, sd = std::sqrt(14.0 / 9);
  double cubes = 0;
  for (const double v : {1.0, 2.0, 4.0}) cubes += std::pow((v - m) / sd, 3);
  CHECK(values(g[1])[0] == doctest::Approx(12 * cubes));
  const List du = values(g[0]);
  CHECK(du[0] + du[1] + du[2] == doctest::Approx(0).epsilon(1e-9));
  CHECK(std::fabs(du[0] * (1 - m) + du[1] * (2 - m) + du[2] * (4 - m)) < 1e-9);
}

TEST_CASE("local_response_norm and mean_variance_normalize") {
  const Array x = Array{1.0, 2.0, 3.0}.reshape({1, 3, 1});
  check_close(values(local_response_norm(x, 3, 3, 1, 0)),
              {1.0 / (1 + 4), 2.0 / (1 + 4 + 9), 3.0 / (4 + 9)});
  check_close(values(local_response_norm(x, 2, 2, 1, 0)), {1.0, 2.0 / 5, 3.0 / 13});
  check_close(values(local_response_norm(x, 2, 2, 1, 0, 0)), {1.0 / 5, 2.0 / 13, 3.0 / 9});
  check_close(values(mean_variance_normalize(Array{{1.0, 3.0}, {2.0, 6.0}}, {1})), {-1, 1, -1, 1},
              1e-7);
}
