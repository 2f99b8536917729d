#include "tools/weft_run/draw.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace weft::tools {

std::vector<std::string> draw_image(std::span<const float> values, std::int64_t rows,
                                    std::int64_t columns, bool color) {
  constexpr std::string_view ramp = " .:-=+*#%@";
  float lo = 0, hi = 0;
  for (const float v : values)
    if (std::isfinite(v)) lo = std::min(lo, v), hi = std::max(hi, v);
  const auto level = [&](std::int64_t row,
                         std::int64_t column) {  // 0 to 1; below the last row is black
    if (row >= rows || !(hi > lo)) return 0.f;
    const float v = values[static_cast<std::size_t>(row * columns + column)];
    return std::isfinite(v) ? (v - lo) / (hi - lo) : 0.f;
  };
  std::vector<std::string> lines;
  for (std::int64_t row = 0; row < rows; row += 2) {  // a character is twice as high as wide
    std::string line;
    for (std::int64_t column = 0; column < columns; ++column) {
      const float upper = level(row, column), lower = level(row + 1, column);
      if (color) {
        const auto grey = [](float v) { return 232 + static_cast<int>(std::lround(v * 23)); };
        line += fmt::format("\x1b[38;5;{};48;5;{}m▀", grey(upper), grey(lower));
      } else {
        const float mean = (upper + lower) / 2;
        line +=
            ramp[static_cast<std::size_t>(std::lround(mean * static_cast<float>(ramp.size() - 1)))];
      }
    }
    if (color) line += "\x1b[0m";
    lines.push_back(std::move(line));
  }
  return lines;
}

namespace {

/// The scores themselves where they are shares already, else their softmax.
std::vector<double> shares(std::span<const float> scores) {
  double sum = 0, most = -INFINITY;
  bool positive = true;
  for (const float s : scores)
    sum += s, most = std::max<double>(most, s), positive = positive && s >= 0;
  std::vector<double> result(scores.begin(), scores.end());
  if (positive && std::abs(sum - 1) < 1e-3) return result;
  double total = 0;
  for (double& s : result) total += s = std::exp(s - most);
  for (double& s : result)
    s = total > 0 ? s / total : 0;  // nothing can be said of scores that are not numbers
  return result;
}

}  // namespace

std::vector<std::string> describe_scores(std::span<const float> scores,
                                         const std::vector<std::string>& names,
                                         std::size_t how_many) {
  const std::vector<double> share = shares(scores);
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    return share[a] != share[b] ? share[a] > share[b] : a < b;
  });
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < std::min(how_many, order.size()); ++i) {
    const std::size_t k = order[i];
    const std::string name = k < names.size() ? names[k] : "class " + std::to_string(k);
    std::string bar;
    for (int cell = 0;
         cell < static_cast<int>(std::lround(std::isfinite(share[k]) ? share[k] * 20 : 0)); ++cell)
      bar += "█";
    lines.push_back(fmt::format("{:<12} {:5.1f} % {}", name, 100 * share[k], bar));
  }
  return lines;
}

}  // namespace weft::tools
