#include "tools/chart/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tools/markup.h"

namespace weft::tools {
namespace {

constexpr double panel_height = 300;
constexpr double left = 62, right = 18, top = 64, bottom = 50, names_bottom = 90;

/// Round numbers that cover [lo, hi], about `count` of them.
struct Ticks {
  double first, step;
  int count, decimals;

  Ticks(double lo, double hi, int wanted) {
    const double rough = std::max(hi - lo, 1e-9) / wanted;
    const double power = std::pow(10.0, std::floor(std::log10(rough)));
    const double share = rough / power;
    step = power * (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10);
    first = std::floor(lo / step + 1e-9) * step;
    count = static_cast<int>(std::ceil((hi - first) / step - 1e-9)) + 1;
    decimals = std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9)));
  }
  [[nodiscard]] double at(int i) const { return first + i * step; }
  [[nodiscard]] double last() const { return at(count - 1); }
};

struct Range {
  double lo = std::numeric_limits<double>::infinity(), hi = -lo;
  void add(double v) {
    if (std::isfinite(v)) lo = std::min(lo, v), hi = std::max(hi, v);
  }
};

std::string text(double x, double y, const char* anchor, const char* style,
                 const std::string& what) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" {}>{}</text>\n", x, y,
                     anchor, style, markup(what));
}

class Plot {
 public:
  Plot(const Panel& panel, double offset)
      : panel_(panel), x0_(offset + left), y0_(top), x_(ticks(true)), y_(ticks(false)) {}

  [[nodiscard]] std::string svg() const {
    std::string out = text(x0_, y0_ - 14, "start", "class=\"panel\"", panel_.title);
    for (int i = 0; i < y_.count; ++i) {
      const double y = height_of(y_.at(i));
      out += fmt::format(
          "<line class=\"grid\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", x0_,
          y, x0_ + width(), y);
      out += text(x0_ - 8, y + 4, "end", "class=\"tick\"", tick(panel_.y, y_, i));
    }
    out += panel_.names.empty() ? figures_below() : names_below();
    out += fmt::format("<path class=\"axis\" d=\"M{:.1f} {:.1f}V{:.1f}H{:.1f}\"/>\n", x0_, y0_,
                       y0_ + height(), x0_ + width());
    out += text(x0_ + width() / 2, y0_ + height() + 38, "middle", "class=\"tick\"", panel_.x_label);
    double legend = x0_ + width();
    for (auto line = panel_.lines.rbegin(); line != panel_.lines.rend(); ++line) {
      if (line->name.empty()) continue;
      out +=
          text(legend, y0_ - 14, "end",
               fmt::format("class=\"tick\" fill=\"{}\"", line->color).c_str(), "— " + line->name);
      legend -= 7.0 * static_cast<double>(line->name.size()) + 30;
    }
    for (const Line& line : panel_.lines) out += curve(line);
    return out;
  }

 private:
  [[nodiscard]] double width() const { return panel_.width - left - right; }
  static double height() { return panel_height; }

  [[nodiscard]] std::string figures_below() const {
    std::string out;
    for (int i = 0; i < x_.count; ++i) {
      const double x = place_of(x_.at(i));
      if (x > x0_ + width() + 0.5) continue;
      out += fmt::format(
          "<line class=\"axis\" x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\"/>\n", x,
          y0_ + height(), y0_ + height() + 4);
      out += text(x, y0_ + height() + 18, "middle", "class=\"tick\"", tick(panel_.x, x_, i));
    }
    return out;
  }
  [[nodiscard]] std::string names_below() const {
    std::string out;
    for (std::size_t i = 0; i < panel_.names.size(); ++i) {
      const double x = x_at(static_cast<double>(i)), y = y0_ + height() + 12;
      out += text(x, y, "end", fmt::format("class=\"tick\" transform=\"rotate(-50 {:.1f} {:.1f})\"", x, y).c_str(),
                  panel_.names[i]);
    }
    return out;
  }

  [[nodiscard]] static double scaled(Scale scale, double value) {
    return scale == Scale::logarithmic ? std::log2(value) : value;
  }
  [[nodiscard]] Ticks ticks(bool horizontal) const {
    const Scale scale = horizontal ? panel_.x : panel_.y;
    Range range;
    for (const Line& line : panel_.lines)
      for (const auto& [x, y] : line.points) range.add(scaled(scale, horizontal ? x : y));
    if (!(range.lo <= range.hi)) range.lo = 0, range.hi = 1;
    if (scale == Scale::logarithmic) {   // whole powers of two
      range.lo = std::floor(range.lo), range.hi = std::max(std::ceil(range.hi), range.lo + 1);
      Ticks powers(range.lo, range.hi, 8);
      return powers.step < 1 ? Ticks(range.lo, range.hi, static_cast<int>(range.hi - range.lo)) : powers;
    }
    if (!panel_.names.empty() && horizontal) {
      range.lo = -0.5, range.hi = static_cast<double>(panel_.names.size()) - 0.5;
      Ticks names(0, 1, 1);
      names.first = range.lo, names.step = range.hi - range.lo, names.count = 2;
      return names;
    }
    if (range.hi - range.lo < 1e-9) range.lo -= 0.5, range.hi += 0.5;
    if (horizontal) range.lo = std::min(range.lo, 0.0);
    Ticks result(range.lo, range.hi, 6);
    if (horizontal && result.step < 1)
      result = Ticks(range.lo, std::max(range.hi, range.lo + 2), 2);
    return result;
  }
  /// On the page, from what stands on the axis; `x_at` and `y_at` from a value.
  [[nodiscard]] double place_of(double x) const {
    return x0_ + (x - x_.first) / (x_.last() - x_.first) * width();
  }
  [[nodiscard]] double height_of(double y) const {
    return y0_ + height() - (y - y_.first) / (y_.last() - y_.first) * height();
  }
  [[nodiscard]] double x_at(double x) const { return place_of(scaled(panel_.x, x)); }
  [[nodiscard]] double y_at(double y) const { return height_of(scaled(panel_.y, y)); }
  [[nodiscard]] static std::string tick(Scale scale, const Ticks& on, int i) {
    if (scale != Scale::logarithmic) return figure(scale, on.at(i), on.decimals);
    const double power = on.at(i);
    return std::abs(power) < 7 ? fmt::format("{:g}", std::exp2(power)) : fmt::format("2^{:g}", power);
  }
  [[nodiscard]] static std::string figure(Scale scale, double value, int decimals) {
    return scale == Scale::percent ? fmt::format("{:.{}f} %", 100 * value, std::max(0, decimals - 2))
                                   : fmt::format("{:.{}f}", value, decimals);
  }
  [[nodiscard]] std::string curve(const Line& line) const {
    std::string path, dots;
    for (const auto& [x, y] : line.points) {
      if (!std::isfinite(y)) continue;
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x_at(x), y_at(y));
      if (line.markers)
        dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.2\" fill=\"{}\"/>\n",
                            x_at(x), y_at(y), line.color);
    }
    std::string out =
        line.joined ? fmt::format("<path class=\"line\" stroke=\"{}\" d=\"{}\"/>\n", line.color, path) : "";
    out += dots;
    if (line.markers && line.joined && panel_.y != Scale::logarithmic && !line.points.empty() && std::isfinite(line.points.back().second)) {
      const auto& [x, y] = line.points.back();
      out += text(x_at(x) - 4, y_at(y) - 9, "end",
                  fmt::format("class=\"value\" fill=\"{}\"", line.color).c_str(), figure(panel_.y, y, 4));
    }
    return out;
  }

  const Panel& panel_;
  double x0_, y0_;
  Ticks x_, y_;
};

}  // namespace

std::string chart_svg(const std::string& title, const std::vector<Panel>& panels) {
  double width = 0, below = bottom;
  for (const Panel& panel : panels) {
    width += panel.width;
    if (!panel.names.empty()) below = names_bottom;
  }
  const double height = top + panel_height + below;
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
      "height=\"{1:.0f}\" "
      "font-family=\"Helvetica, Arial, sans-serif\">\n"
      "<style>.grid{{stroke:#e4e7eb}}.axis{{stroke:#7b8794;fill:none}}.tick{{font-size:12px}}"
      ".panel{{font-size:14px;font-weight:bold}}.value{{font-size:12px;font-weight:bold}}"
      ".line{{fill:none;stroke-width:2;stroke-linejoin:round}}</style>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
      width, height);
  out += text(left, 26, "start", "font-size=\"17\"", title);
  double at = 0;
  for (const Panel& panel : panels) {
    out += Plot(panel, at).svg();
    at += panel.width;
  }
  return out + "</svg>\n";
}

}  // namespace weft::tools
