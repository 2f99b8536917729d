// Expressions, values in real time, a compiled function.
#include <weft/weft.h>

#include <iostream>

int main() {
  using namespace weft;

  // A graph over inputs of any dtype and shape; one call, one fused kernel.
  Tensor a("a"), b("b");
  Tensor c = a + 0.2 + b * 0.3;
  Function f({a, b}, c);
  const Array x{{1.f, 2.f}, {3.f, 4.f}}, y{10.f, 20.f};
  std::cout << f(x, y)[0] << "\n";
  std::cout << "kernels: " << f.stats().kernels << "\n";

  // The same tensors hold values too, and keep them up to date.
  a.set_value(x);
  b.set_value(y);
  std::cout << c.value() << "\n";
  b.set_value(Array{0.f, 0.f});
  std::cout << c.value() << "\n";

  // Gradients are tensors like any other.
  Variable w(Array{1.f, 2.f, 3.f}, "w");
  const Tensor loss = square(w).mean();
  std::cout << grad(loss, {w})[0].value() << "\n";
}
