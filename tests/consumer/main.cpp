// The example of the README as a user's own program: exits 0 when a function and a live tensor give
// what they must.
#include <weft/weft.h>

#include <iostream>

int main() {
  using namespace weft;
  Tensor a, b;
  Function f({a, b}, a + 0.2 + b * 0.3);
  const Array out = f({zeros({2, 3, 4}), ones({3, 4})})[0];

  Tensor x("x"), y("y");
  Tensor z = x * y;
  x.set_value(3);
  y.set_value(4);
  const double before = z.value().item<double>();
  y.set_value(5);
  const double after = z.value().item<double>();

  std::cout << out << "\nz: " << before << ", " << after << '\n';
  const bool good = allclose(out, full({2, 3, 4}, 0.5f), 1e-6, 1e-6) && before == 12 && after == 15;
  return good ? 0 : 1;
}
