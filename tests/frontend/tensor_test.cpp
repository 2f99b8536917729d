// Handles: names, types, printing (A14), counting.
#include <doctest/doctest.h>

#include <sstream>

#include "weft/eval.h"
#include "weft/grad.h"
#include "weft/ops.h"

using namespace weft;

namespace {

template <class T> std::string printed(const T& t) {
  std::ostringstream out;
  out << t;
  return out.str();
}

}  // namespace

TEST_CASE("A14: a Variable prints its name, value and gradient") {
  Variable v(Array{1.f, 2.f}, "hello");
  CHECK(printed(v) == "Variable {name: hello}\n- value    : [1. 2.]\n- gradient : [0. 0.]");
  v.requires_grad(true);
  sum(v * v).backward();
  CHECK(printed(v) == "Variable {name: hello}\n- value    : [1. 2.]\n- gradient : [2. 4.]");
  CHECK(printed(Variable(Array{1, 2}, "n")) == "Variable {name: n}\n- value    : [1 2]");
}

TEST_CASE("Tensors print their value, or what is known of them") {
  Tensor a({2, dim("N")}, DType::float32, "a");
  CHECK(printed(a) == "Tensor {name: a, type: float32(2, N)}");
  a.set_value(Array{{1.f}, {2.f}});
  CHECK(printed(a) == "[[1.]\n [2.]]");
  CHECK(printed(Tensor()) == "Tensor {type: ?}");
}

TEST_CASE("Names and declared types") {
  Tensor a("a");
  CHECK(a.name() == "a");
  CHECK(a.name("b").name() == "b");
  Tensor x({2, dim("N"), 4}, DType::float64);
  CHECK(x.dtype() == DType::float64);
  CHECK(x.ndim() == 3);
  CHECK_THROWS_AS((void)x.shape(), ShapeError);
  CHECK_THROWS_AS(x.set_value(zeros({3, 1, 4})), ShapeError);
  x.set_value(zeros({2, 7, 4}));
  CHECK(x.shape() == Shape{2, 7, 4});
  CHECK(x.value().dtype() == DType::float64);
  CHECK(x.device() == Device::cpu());
}

TEST_CASE("Scalars and arrays are constants") {
  Tensor one = 1, pi = 3.14, list = Array{1, 2, 3};
  CHECK(one.dtype() == DType::int64);
  CHECK(pi.dtype() == DType::float64);
  CHECK(array_equal(list.value(), Array{1, 2, 3}));
  CHECK(list.has_value());
  CHECK_THROWS_AS(list.set_value(Array{1, 2, 3}), Error);
  const Array large = arange(100);
  CHECK(array_equal((Tensor(large) + 1).value(), arange(1, 101)));
}

TEST_CASE("Handles are rebound, not written") {
  Variable v(1.0);
  Tensor t = v;
  t += 1;
  t = t * 2;
  CHECK(v.value().item<double>() == 1);
  CHECK(t.item<double>() == 4);
  Tensor moved = std::move(t);
  CHECK(moved.item<double>() == 4);
  const Tensor& self = moved;
  moved = self;
  CHECK(moved.item<double>() == 4);
}

TEST_CASE("Constants keep their values when they are moved to a device") {
  const auto check = [] {
    for (const std::int64_t n : {0, 1, 3, 8, 16, 17, 300}) {
      CAPTURE(n);
      const Array values = arange(n).to(DType::float32);
      const Tensor moved = Tensor(values).to(Device::cpu());
      CHECK(moved.sum().value().item<float>() == static_cast<float>(n * (n - 1) / 2));
      CHECK(array_equal(moved.value(), values));
      CHECK(array_equal((Variable(values) + moved).value(), (Tensor(values) * 2).value()));
    }
    CHECK(Tensor(5.f).to(Device::cpu()).item<float>() == 5);
  };
  check();
  const ScopedEvalMode lazy(EvalMode::lazy);
  check();
}

TEST_CASE("Constants flow back through a move to a device") {
  const Variable v(Array{1.0, 2.0, 3.0, 4.0}, "v");
  const Tensor moved = v.to(Device::cpu());
  CHECK(array_equal(vjp({moved}, {v}, {ones({4}, DType::float64)})[0].value(), ones({4})));
  CHECK(array_equal(jvp({moved}, {v}, {ones({4}, DType::float64)})[0].value(), ones({4})));
  CHECK(array_equal(jacobian(moved, v).value(), eye(4)));
  CHECK(array_equal(hessian(square(moved).sum(), v).value(), (Tensor(eye(4)) * 2).value()));
}

TEST_CASE("Objects are counted") {
  const std::int64_t before = live_objects();
  {
    Variable v(zeros({10}));
    Tensor t = v + 1;
    (void)t.value();
    CHECK(live_objects() > before);
  }
  CHECK(live_objects() == before);
}
