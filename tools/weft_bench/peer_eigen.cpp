// Eigen at its best: compiled for the processor at hand, expressions in blocks that stay in cache, rows and blocks
// split over threads by hand. Without Eigen's headers there is no such peer.
#include "engines.h"
#include "networks.h"

#if WEFT_BENCH_EIGEN
#include <Eigen/Dense>

#include "team.h"

namespace weft::bench {

namespace {

constexpr std::int64_t block = 1024;
using Chunk = Eigen::Array<float, Eigen::Dynamic, 1, 0, block, 1>;   // on the stack
using View = Eigen::Map<Eigen::ArrayXf>;
using ConstView = Eigen::Map<const Eigen::ArrayXf>;
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixView = Eigen::Map<Matrix>;
using ConstMatrixView = Eigen::Map<const Matrix>;

struct Work {
  Team& team;
  const std::vector<Input>& in;
  std::vector<float>& out;

  [[nodiscard]] ConstView input(std::size_t i, std::int64_t at, std::int64_t n) const {
    return {in[i].values.data() + at, n};
  }
  View output(std::int64_t at, std::int64_t n) const { return {out.data() + at, n}; }
  [[nodiscard]] ConstMatrixView matrix(std::size_t i) const {
    return {in[i].values.data(), in[i].shape[0], in[i].shape[1]};
  }
  /// body(begin, count) on blocks of [0, n).
  template <class F> void blocks(std::int64_t n, F body) const {
    team.split(n, block, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t at = begin; at < end; at += block) body(at, std::min(block, end - at));
    });
  }
  template <class F> void each_row(F body) const {
    team.split(in[0].shape[0], 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) body(row);
    });
  }
};

void twenty_pointwise(const Work& w) {
  w.blocks(1 << 22, [&](std::int64_t at, std::int64_t n) {
    const auto x = w.input(0, at, n);
    const Chunk t = x.tanh() * x + .5f, s = t.logistic(), u = s * t * .5f;
    const Chunk v = (u.exp() - 1) * x, h = (v.tanh() + t) * .7f;
    const Chunk q = h.logistic() * h, r = (q + x) * .3f;
    w.output(at, n) = (r.exp() - q) * .25f + 1;
  });
}

void gelu(const Work& w, bool gradient) {
  constexpr std::int64_t count = 4096 * 1024;
  constexpr float k = 0.7978845608f, c = 0.044715f;
  w.blocks(count, [&](std::int64_t at, std::int64_t n) {
    const auto x = w.input(0, at, n);
    const Chunk t = (k * (x + c * x * x * x)).tanh();
    w.output(at, n) = .5f * x * (1 + t);
    if (gradient)
      w.output(count + at, n) =
          w.input(1, at, n) * (.5f * (1 + t) + .5f * x * (1 - t * t) * k * (1 + 3 * c * x * x));
  });
}

void column_sums(const Work& w) {
  std::vector<Eigen::ArrayXf> parts(static_cast<std::size_t>(w.team.size()));
  w.team.run([&](int i) {
    Eigen::ArrayXf& sums = parts[static_cast<std::size_t>(i)];
    sums = Eigen::ArrayXf::Zero(4096);
    const std::int64_t begin = 4096 * i / w.team.size(), end = 4096 * (i + 1) / w.team.size();
    for (std::int64_t row = begin; row < end; ++row) sums += w.input(0, row * 4096, 4096);
  });
  w.output(0, 4096) = parts[0];
  for (std::size_t i = 1; i < parts.size(); ++i) w.output(0, 4096) += parts[i];
}

void layer_norm(const Work& w) {
  w.each_row([&](std::int64_t row) {
    const auto x = w.input(0, row * 768, 768);
    const float mean = x.mean();
    const float scale = 1 / std::sqrt((x - mean).square().mean() + 1e-5f);
    w.output(row * 768, 768) = (x - mean) * scale * w.input(1, 0, 768) + w.input(2, 0, 768);
  });
}

/// Means and squares of blocks, joined in double.
void variance(const Work& w) {
  struct Part { double count = 0, mean = 0, squares = 0; };
  std::vector<Part> parts(static_cast<std::size_t>(w.team.size()));
  const auto join = [](Part& a, const Part& b) {
    if (b.count == 0) return;
    const double all = a.count + b.count, delta = b.mean - a.mean;
    a = {all, a.mean + delta * b.count / all, a.squares + b.squares + delta * delta * a.count * b.count / all};
  };
  w.team.run([&](int i) {
    constexpr std::int64_t step = 4096, count = 1 << 24;
    Part part;
    const std::int64_t begin = count / w.team.size() * i, end = count / w.team.size() * (i + 1);
    for (std::int64_t at = begin; at < end; at += step) {
      const auto x = w.input(0, at, step);
      const float mean = x.mean();
      join(part, {step, mean, (x - mean).square().sum()});
    }
    parts[static_cast<std::size_t>(i)] = part;
  });
  for (std::size_t i = 1; i < parts.size(); ++i) join(parts[0], parts[i]);
  w.out[0] = static_cast<float>(parts[0].squares / parts[0].count);
}

void call(const std::string& row, const Work& w) {
  if (row == "E1") {
    const auto b = w.input(1, 0, 12);
    for (int i = 0; i < 2; ++i) w.output(12 * i, 12) = w.input(0, 12 * i, 12) + .2f + b * .3f;
  } else if (row == "E2") {
    w.blocks(1 << 24, [&](std::int64_t at, std::int64_t n) {
      w.output(at, n) = w.input(0, at, n) + .2f + w.input(1, at, n) * .3f;
    });
  } else if (row == "E3") {
    twenty_pointwise(w);
  } else if (row == "E4_fwd" || row == "E4_fwdbwd") {
    gelu(w, row == "E4_fwdbwd");
  } else if (row == "R1") {
    w.each_row([&](std::int64_t r) { w.out[static_cast<std::size_t>(r)] = w.input(0, r * 4096, 4096).sum(); });
  } else if (row == "R2") {
    column_sums(w);
  } else if (row == "R3") {
    w.each_row([&](std::int64_t r) {
      const auto x = w.input(0, r * 1024, 1024);
      const Chunk e = (x - x.maxCoeff()).exp();
      w.output(r * 1024, 1024) = e * (1 / e.sum());
    });
  } else if (row == "R4") {
    layer_norm(w);
  } else if (row == "R5") {
    variance(w);
  } else if (row == "R6") {
    w.each_row([&](std::int64_t r) {
      const auto x = w.input(0, r * 1024, 1024);
      const float top = x.maxCoeff();
      w.out[static_cast<std::size_t>(r)] = std::log((x - top).exp().sum()) + top;
    });
  } else if (row == "M1") {
    MatrixView c(w.out.data(), 1024, 1024);
    w.team.split(1024, 8, [&](std::int64_t i, std::int64_t end) {
      c.middleRows(i, end - i).noalias() = w.matrix(0).middleRows(i, end - i) * w.matrix(1);
    });
  } else if (row.starts_with("M2")) {
    MatrixView c(w.out.data(), 64, 512);
    w.team.split(64, 8, [&](std::int64_t i, std::int64_t end) {
      auto part = c.middleRows(i, end - i);
      part.noalias() = w.matrix(0).middleRows(i, end - i) * w.matrix(1);
      part.rowwise() += Eigen::Map<const Eigen::RowVectorXf>(w.in[2].values.data(), 512);
      part = part.cwiseMax(0.0f);
    });
  } else {
    w.each_row([&](std::int64_t i) {
      MatrixView(w.out.data() + i * 128 * 128, 128, 128).noalias() =
          ConstMatrixView(w.in[0].values.data() + i * 128 * 64, 128, 64) *
          ConstMatrixView(w.in[1].values.data() + i * 64 * 128, 64, 128);
    });
  }
}

/// 0 for rows that are not here.
std::size_t results_of(const std::string& row) {
  if (row == "E1") return 24;
  if (row == "E2") return 1 << 24;
  if (row == "E3" || row == "E4_fwd") return 1 << 22;
  if (row == "E4_fwdbwd" || row == "R3") return 1 << 23;
  if (row == "R1" || row == "R2") return 4096;
  if (row == "R4") return 8192 * 768;
  if (row == "R5") return 1;
  if (row == "R6") return 8192;
  if (row.starts_with("M2")) return 64 * 512;
  return row == "M1" || row == "M3" ? 1024 * 1024 : 0;
}

/// T1 by hand: activations by rows of the batch, weights by rows of each matrix.
class Training {
 public:
  explicit Training(Team& team) : team_(team) {
    const std::vector<Input> parameters = parameters_of("T1");
    for (std::size_t i = 0; i < Mlp::layers; ++i) {
      const Input& w = parameters[2 * i];
      weight[i] = ConstMatrixView(w.values.data(), w.shape[0], w.shape[1]);
      bias[i] = Eigen::RowVectorXf::Zero(w.shape[1]);
      weight_speed[i] = Matrix::Zero(w.shape[0], w.shape[1]);
      bias_speed[i] = bias[i];
      act[i].resize(Mlp::batch, w.shape[1]);
      slope[i].resize(Mlp::batch, w.shape[1]);
    }
    losses_.resize(Mlp::batch);
  }

  float step(const Input& images, const std::vector<std::int64_t>& targets) {
    const ConstMatrixView x(images.values.data(), Mlp::batch, Mlp::widths[0]);
    team_.split(Mlp::batch, 8, [&](std::int64_t i, std::int64_t end) {
      const std::int64_t n = end - i;
      forward(0, x.middleRows(i, n), i, n);
      for (std::size_t l = 1; l < Mlp::layers; ++l) forward(l, act[l - 1].middleRows(i, n), i, n);
      loss(targets, i, end);
      for (std::size_t l = Mlp::layers - 1; l > 0; --l) {
        slope[l - 1].middleRows(i, n).noalias() = slope[l].middleRows(i, n) * weight[l].transpose();
        slope[l - 1].middleRows(i, n).array() *= (act[l - 1].middleRows(i, n).array() > 0).cast<float>();
      }
    });
    update(0, x);
    for (std::size_t l = 1; l < Mlp::layers; ++l) update(l, act[l - 1]);
    return losses_.mean();
  }

 private:
  template <class In> void forward(std::size_t l, const In& in, std::int64_t i, std::int64_t n) {
    auto out = act[l].middleRows(i, n);
    out.noalias() = in * weight[l];
    out.rowwise() += bias[l];
    if (l + 1 < Mlp::layers) out = out.cwiseMax(0.0f);
  }
  void loss(const std::vector<std::int64_t>& targets, std::int64_t i, std::int64_t end) {
    auto& scores = act[Mlp::layers - 1];
    auto& out = slope[Mlp::layers - 1];
    for (; i < end; ++i) {
      const float top = scores.row(i).maxCoeff();
      out.row(i) = (scores.row(i).array() - top).exp();
      const float total = out.row(i).sum();
      const std::int64_t target = targets[static_cast<std::size_t>(i)];
      losses_(i) = std::log(total) + top - scores(i, target);
      out.row(i) *= 1 / (total * Mlp::batch);
      out(i, target) -= 1.0f / Mlp::batch;
    }
  }
  template <class In> void update(std::size_t l, const In& in) {
    team_.split(weight[l].rows(), 8, [&](std::int64_t i, std::int64_t end) {
      const std::int64_t n = end - i;
      auto speed = weight_speed[l].middleRows(i, n);
      speed *= static_cast<float>(Sgd::momentum);
      speed.noalias() += in.middleCols(i, n).transpose() * slope[l];
      weight[l].middleRows(i, n) -= static_cast<float>(Sgd::rate) * speed;
      if (i == 0) {
        bias_speed[l] = static_cast<float>(Sgd::momentum) * bias_speed[l] + slope[l].colwise().sum();
        bias[l] -= static_cast<float>(Sgd::rate) * bias_speed[l];
      }
    });
  }

  Team& team_;
  Matrix weight[Mlp::layers], weight_speed[Mlp::layers], act[Mlp::layers], slope[Mlp::layers];
  Eigen::RowVectorXf bias[Mlp::layers], bias_speed[Mlp::layers];
  Eigen::VectorXf losses_;
};

Measured measure_training(const Job& job) {
  Team team(job.threads);
  Training training(team);
  Input images[input_sets];
  std::vector<std::int64_t> targets[input_sets];
  for (std::uint32_t set = 0; set < input_sets; ++set) {
    images[set] = inputs_of("T1", set)[0];
    targets[set] = classes_of("T1", set);
  }
  Measured m;
  for (int i = 0; i < 10; ++i) {
    const float loss = training.step(images[0], targets[0]);
    if (i == 0) m.checks.sum = loss;
    m.checks.absolute = loss;
  }
  m.timing = time_calls([&](std::uint32_t set) { training.step(images[set], targets[set]); }, job.budget_ms);
  return m;
}

}  // namespace

std::optional<Measured> measure_eigen(const Job& job) {
  if (job.row == "T1") return measure_training(job);
  if (results_of(job.row) == 0) return {};
  Team team(job.threads);
  std::vector<Input> sets[input_sets];
  for (std::uint32_t set = 0; set < input_sets; ++set) sets[set] = inputs_of(job.row, set);
  std::vector<float> out(results_of(job.row));
  call(job.row, {team, sets[0], out});
  Measured m;
  m.checks.add(out.data(), out.size());
  m.timing = time_calls([&](std::uint32_t set) { call(job.row, {team, sets[set], out}); }, job.budget_ms);
  return m;
}

}  // namespace weft::bench
#else
namespace weft::bench {
std::optional<Measured> measure_eigen(const Job&) { return {}; }
}  // namespace weft::bench
#endif
