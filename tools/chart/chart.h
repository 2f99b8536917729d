// Line charts as SVG: panels beside each other, each with its own axes.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace weft::tools {

struct Line {
  std::string name, color;   // without a name it is not in the legend
  std::vector<std::pair<double, double>> points;
  bool markers = false;  // a dot at each point, and the last value in figures
  bool joined = true;    // by strokes; else dots alone
};

/// Of the values along an axis: as they are, as shares of one, or (all above zero) by their logarithm.
enum class Scale : std::uint8_t { linear, percent, logarithmic };

struct Panel {
  std::string title, x_label;
  std::vector<Line> lines;
  Scale y = Scale::linear, x = Scale::linear;
  std::vector<std::string> names = {};  // of x = 0, 1, …, in place of figures
  double width = 460;
};

std::string chart_svg(const std::string& title, const std::vector<Panel>& panels);

}  // namespace weft::tools
