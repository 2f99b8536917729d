// Forward, backward and update as one compiled program: logistic regression on points of the plane.
#include <weft/weft.h>

#include <iostream>

int main() {
  using namespace weft;
  manual_seed(0);

  // Class 1 lies above the line y = x.
  const Array points = randn({200, 2});
  Array classes = zeros({200});
  float* label = classes.mutable_data<float>();
  for (int i = 0; i < 200; ++i)
    label[i] = points.data<float>()[2 * i + 1] > points.data<float>()[2 * i] ? 1 : 0;

  Variable w(zeros({2}), "w"), b(0.f, "b");
  Tensor x({dim("N"), 2}, DType::float32, "x"), t({dim("N")}, DType::float32, "t");
  Tensor loss = nn::binary_cross_entropy_with_logits(x.mv(w) + b, t);
  const std::vector<Tensor> g = grad(loss, {w, b});
  Function step({x, t}, loss,
                {.updates = {{w, w - 0.5 * g[0]}, {b, b - 0.5 * g[1]}}, .name = "step"});

  for (int i = 0; i <= 200; ++i) {
    const float value = step(points, classes)[0].item<float>();
    if (i % 50 == 0) std::cout << "step " << i << ": loss " << value << "\n";
  }
  std::cout << "w = " << w.value() << ", b = " << b.value() << "\n";

  // What a library user would write: modules and an optimiser do the same bookkeeping.
  nn::Sequential model(nn::Linear(2, 8), nn::Tanh(), nn::Linear(8, 2));
  optim::Adam adam(model.parameters(), {.lr = 0.05});
  data::Trainer trainer(model, adam,
                        [](const Tensor& y, const Tensor& c) { return nn::cross_entropy(y, c); },
                        {.epochs = 20, .batch_size = 20});
  const data::Dataset set{points, classes.to(DType::int64)};
  trainer.fit(set);
  std::cout << "accuracy of a small network: " << trainer.accuracy(set) << "\n";

  step.save("training_step.weft");  // graph-viz training_step.weft -o step.svg
}
