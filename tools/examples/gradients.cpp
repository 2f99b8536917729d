// Gradients are graphs: they can be compiled, watched and differentiated again.
#include <weft/weft.h>

#include <iostream>

int main() {
  using namespace weft;

  Variable x(Array{0.5, 1.0, 2.0}, "x");
  const Tensor y = sum(x * x * tanh(x));
  const Tensor dy = grad(y, {x})[0];
  std::cout << "dy/dx  " << dy.value() << "\n";
  std::cout << "again  " << grad(sum(dy), {x})[0].value() << "\n";
  x.set_value(Array{0.0, 0.0, 1.0});  // the gradient follows its input
  std::cout << "dy/dx  " << dy.value() << "\n";

  // The imperative face of the same.
  Tensor w(Array(2.0), {.requires_grad = true, .name = "w"}),
      b(Array(3.0), {.requires_grad = true, .name = "b"});
  Tensor z = w * 1.0 + b;
  z.backward();
  std::cout << "w.grad " << w.grad().value() << ", b.grad " << b.grad().value() << "\n";
}
