// When things are computed: at once, when asked for, or once for many changes.
#include <weft/weft.h>

#include <iostream>

int main() {
  using namespace weft;
  Tensor a("a"), b("b"), c("c");
  Tensor d = a + b * c;

  // Greedy, the default: d is computed the instant the last input arrives.
  std::cout << std::boolalpha << d.has_value() << "\n";  // false
  a.set_value(5), b.set_value(3), c.set_value(2);
  std::cout << d.item<int>() << "\n";  // 11
  {
    auto watch = d.on_change([](const Array& value) { std::cout << "d is now " << value << "\n"; });
    c.set_value(4);  // d is now 17

    // Many inputs, one update.
    Transaction t;
    a.set_value(0), b.set_value(1);
  }  // d is now 4

  // Lazy: setting only marks, asking computes.
  ScopedEvalMode lazy(EvalMode::lazy);
  c.set_value(10);
  std::cout << d.item<int>() << "\n";  // 10

  // C++ control flow works on values.
  Tensor steps = d * 1;
  int count = 0;
  while (steps > 1) steps = steps / 2, ++count;
  std::cout << count << " halvings\n";  // 4

  try {
    Tensor e = a + Tensor("nobody has set me");
    std::cout << e.value() << "\n";
  } catch (const UnsetInput& error) { std::cout << error.what() << "\n"; }
}
